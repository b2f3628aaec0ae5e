//! Why there is no connection to begin with. A server that is down is not among it: it is waited for.

use std::path::PathBuf;

/// Why a carrier could not be made from its options.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No server is named.
    #[error("no NATS server is named")]
    NoServer,
    /// A server's address is none.
    #[error("`{server}` is not the address of a NATS server, like nats://broker.example:4222")]
    Server {
        /// What was given, without a password.
        server: String,
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// The first part of subjects and streams is not one.
    #[error("`{prefix}` cannot begin a subject: letters, digits, `-` and `_` only")]
    Prefix {
        /// What was given.
        prefix: String,
    },
    /// A file of credentials or certificates cannot be read.
    #[error("cannot read `{}`", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The client refused the options, such as a certificate that is none.
    #[error("the NATS client cannot be made")]
    Client {
        /// Why.
        source: async_nats::ConnectError,
    },
}
