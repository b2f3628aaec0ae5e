//! Real servers for tests, and for a developer's machine: started, killed, frozen, put back in time.
//!
//! Each server has a free port on loopback, a directory and processes of its own. It keeps its port while its
//! handle lives, so a client finds it again after [`kill`](Server::kill) and [`start`](Server::start). When the
//! last clone of a handle is dropped the server is killed, and its directory removed if it was a temporary one;
//! and when the process that started it is killed, a small shell that was left beside the server ends it.
//!
//! ```no_run
//! # async fn a_test(directory: &std::path::Path) -> Result<(), divisi_servers::Error> {
//! use divisi_servers::{Postgres, postgres};
//!
//! let server = postgres::Settings::new().conf("fsync = off").start().await?;
//! server.sql("CREATE TABLE seats (id bigint PRIMARY KEY)").await?;
//! let url = server.url(); // postgresql://postgres:…@127.0.0.1:PORT/postgres
//!
//! server.kill().await?; // SIGKILL to all its processes
//! server.copy_data(directory).await?; // only while it does not run
//! server.start().await?; // the same port, the same data
//! server.freeze().await?; // SIGSTOP: connections stay open, nothing answers
//! server.thaw().await?;
//! server.stop().await?;
//! server.restore_data(directory).await?; // data-directory time travel
//! server.start().await?;
//!
//! let standby: Postgres = server.standby(postgres::Replication::Synchronous).await?;
//! server.kill().await?;
//! standby.promote().await?;
//! # Ok(())
//! # }
//! ```
//!
//! What the kinds have of their own:
//!
//! ```no_run
//! # async fn a_test(proxy: std::net::SocketAddr) -> Result<(), divisi_servers::Error> {
//! use divisi_servers::{Kafka, Nats, kafka, nats, postgres};
//!
//! let server = nats::Settings::new()
//!     .jetstream("sync_interval: always")
//!     .conf(r#"authorization { users = [ { user: "posts", password: "secret" } ] }"#)
//!     .start()
//!     .await?;
//! let url = server.url_for("posts", "secret"); // nats://posts:secret@127.0.0.1:PORT
//!
//! let server = kafka::Settings::new()
//!     .property("log.retention.ms", "60000")
//!     .advertise(proxy) // clients are sent there instead
//!     .start()
//!     .await?;
//! let bootstrap = server.url(); // 127.0.0.1:PORT
//!
//! let server = postgres::Settings::new().file("server.key", "…").conf("ssl = on").start().await?;
//! server.shut_down(postgres::Shutdown::Immediate).await?;
//!
//! let (nats, kafka) = (Nats::launch().await?, Kafka::launch().await?); // with nothing set
//! # Ok(())
//! # }
//! ```
//!
//! A server that is not on this machine is an error that says what to do; [`postgres::install`],
//! [`nats::install`] and [`kafka::install`] bring them, into [`cache_directory`] if they are not the
//! distribution's.
//!
//! The methods are async and do their work on threads for blocking work: a test's other tasks go on meanwhile,
//! also on one thread and with a paused clock. A future that is dropped does not stop what it began.
//!
//! It is for Linux: processes are found through `/proc`. It knows nothing of Divisi.

mod account;
mod cache;
mod directory;
mod error;
mod install;
pub mod kafka;
pub mod nats;
mod port;
pub mod postgres;
mod process;
mod program;
mod server;

pub use cache::directory as cache_directory;
pub use error::Error;
pub use kafka::Kafka;
pub use nats::Nats;
pub use postgres::Postgres;
pub use server::Server;
