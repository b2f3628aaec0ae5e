//! What an app brings to its host: databases, and a broker if there is one.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use divisi_call::BoxFuture;
use divisi_contract::ServiceName;
use divisi_events::Carrier;
use divisi_store::{Schema, Stores};

use crate::config::{Carrier as Broker, Config, Secret};

/// Whatever went wrong, in words for whoever started the process.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Chooses databases and a carrier as the configuration says. The host itself knows none.
pub trait Backends: Send + Sync + 'static {
    /// What opens databases. Nobody is asked yet.
    fn stores(&self, app: &str, config: &Config) -> Result<Arc<dyn Stores>, BoxError>;

    /// The broker that spreads events, if the configuration names one, as the user that `services` share. It is not
    /// needed to start: while it cannot be reached, consumers read the logs.
    fn carrier<'a>(
        &'a self,
        app: &'a str,
        broker: &'a Broker,
        services: &'a [ServiceName],
    ) -> BoxFuture<'a, Result<Option<Arc<dyn Carrier>>, BoxError>>;

    /// Makes on a server what the services need there, and shuts everybody else out. It may be repeated.
    fn provision<'a>(&'a self, plan: &'a Plan) -> BoxFuture<'a, Result<Provisioned, BoxError>>;

    /// Carries a service that does not run from its files to a server, or takes that back. Killed at any moment, it may be
    /// repeated, or taken back.
    fn move_store<'a>(&'a self, moving: &'a Moving) -> BoxFuture<'a, Result<Moved, BoxError>>;
}

/// What is to be made, and on which server.
#[derive(Debug)]
#[non_exhaustive]
pub struct Plan {
    /// Whose services they are.
    pub app: String,
    /// What kind of server it is.
    pub engine: Engine,
    /// The server, as somebody reaches it who may make things there.
    pub server: Secret,
    /// Whether nothing is touched, and only told what would be.
    pub dry_run: bool,
    /// The file that holds what this makes for the server, and what is there from the last time.
    pub file: Option<(PathBuf, String)>,
    /// Everything that the process is told otherwise.
    pub config: Config,
    /// What each service needs, from the app's graph.
    pub services: Vec<Needs>,
}

/// What can be provisioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Engine {
    /// Databases on PostgreSQL.
    Postgres,
    /// Streams and users on NATS.
    Nats,
    /// Topics, users and rights on Kafka.
    Kafka,
}

/// What one service needs.
#[derive(Debug)]
#[non_exhaustive]
pub struct Needs {
    /// Its name.
    pub service: ServiceName,
    /// By which it shows who it is; nobody else has it.
    pub password: Secret,
    /// The topics that it owns, and alone publishes to.
    pub announces: BTreeSet<&'static str>,
    /// The topics that it listens to.
    pub hears: BTreeSet<&'static str>,
}

/// What came of a plan.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Provisioned {
    /// What was done, a line each, without secrets.
    pub done: Vec<String>,
    /// What the server is to be told by hand: statements, or a part of its configuration. Of a dry run, without secrets;
    /// else it belongs to [`Plan::file`].
    pub text: String,
    /// Keys of the configuration with their values, which have secrets in them.
    pub settings: Vec<(String, Secret)>,
}

/// Which service goes where.
#[derive(Debug)]
#[non_exhaustive]
pub struct Moving {
    /// The service.
    pub service: ServiceName,
    /// The address of its place there; `{service}` stands for its name.
    pub to: Secret,
    /// What is to be done.
    pub what: Move,
    /// Everything that the process is told otherwise; its files are in the directory that this names.
    pub config: Config,
    /// The tables of the service's own database.
    pub schema: Schema,
    /// Its projections, whose databases go with it.
    pub projections: Vec<Folded>,
}

/// What is done of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// All of it.
    There,
    /// All of it, and then it is undone: what is in the way is told.
    Rehearsal,
    /// It is taken back.
    Back,
}

/// A projection of a service that moves.
#[derive(Debug)]
#[non_exhaustive]
pub struct Folded {
    /// Its name within the service.
    pub name: &'static str,
    /// The shape that the program knows; what has another is to be built anew first.
    pub shape: u32,
    /// The tables of a version of it.
    pub schema: Schema,
}

/// What came of a move.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// What was done, a line each, without secrets.
    pub done: Vec<String>,
    /// Keys of the configuration with their values, which have secrets in them.
    pub settings: Vec<(String, Secret)>,
}
