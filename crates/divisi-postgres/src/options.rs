//! What can be chosen about a PostgreSQL store, and why each default.

use std::path::PathBuf;
use std::time::Duration;

use divisi_store::Clock;

/// How PostgreSQL stores are opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where timestamps of rows come from. Records of the log are stamped by the database's own clock.
    pub clock: Clock,
    /// How many connections one store of one process holds at the most. A server has a hundred by default, for all
    /// services, versions of projections and instances together.
    pub connections_max: usize,
    /// How many of them consumers may use at the same time: the rest is kept for calls and reads.
    pub connections_of_consumers: usize,
    /// How long a transaction waits for a free connection before it is told that the database is busy.
    pub connection_wait: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long one statement may take. COMMIT has no limit: one that was cut short while it waits for a standby would
    /// be acknowledged without it.
    pub statement_timeout: Duration,
    /// How long a statement waits for somebody else's lock.
    pub lock_timeout: Duration,
    /// How long a transaction may stand idle between two statements; the server ends it then, and its locks with it.
    pub idle_in_transaction_timeout: Duration,
    /// How long a peer that does not answer keeps a connection: then it counts as lost.
    pub silence_timeout: Duration,
    /// What the server's list of sessions calls this process; the service's name is put before it.
    pub application_name: Option<String>,
    /// The schema of a service's own tables; a projection's version has one of its own.
    pub schema: String,
    /// Whether a database that is missing is made, with the credentials at hand. Off, since a mistyped name would
    /// begin an empty life; in production a role cannot do it anyway.
    pub create_databases: bool,
    /// The certificates that sign the server's, as PEM; without it those that browsers trust.
    pub root_certificates: Option<PathBuf>,
    /// How many epochs, the newest, stay in the list though every reader has entered a later one: a reader whose own
    /// database is put back to an older copy finds the epoch that it had entered.
    pub epochs_kept: u32,
    /// How long the log keeps what every registered reader has; `None` keeps everything.
    pub retention: Option<Duration>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            clock: Clock::System,
            connections_max: 16,
            connections_of_consumers: 12,
            connection_wait: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(5),
            idle_in_transaction_timeout: Duration::from_secs(10),
            silence_timeout: Duration::from_secs(15),
            application_name: None,
            schema: "public".to_owned(),
            create_databases: false,
            root_certificates: None,
            epochs_kept: 256,
            retention: None,
        }
    }
}
