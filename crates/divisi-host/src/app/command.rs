//! The words of the command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, Parser, Subcommand};
use divisi_contract::compatibility::{check_contract, check_event};
use divisi_contract::{Contract, EventSpec};
use serde::Deserialize;

use crate::graph::Graph;
use crate::operator;
use crate::service::Service;

/// Runs the app's services: all in this process, each in its own, or one alone.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Runs the services; without a name all of them, in this process
    Run(RunArgs),
    /// Prints who serves, calls, announces and hears what
    Graph,
    /// Prints all contracts and events as data: methods, JSON Schemas, routes, refusals
    Contracts,
    /// Compares the contracts and events with those of an earlier version; fails when a change would break it
    Check(CheckArgs),
    /// Prints every setting with its value and where it comes from
    Config(RunArgs),
    /// Makes on a server what each service needs there, with a user of its own, and prints the configuration that leads there
    Provision(ProvisionArgs),
    /// Carries a stopped service's files to a database on a server, or takes that back
    Move(MoveArgs),
    /// Copies the services' files, as they are at one moment, while they are in use; `run --data` starts from the copies
    Backup(BackupArgs),
    #[command(flatten)]
    Operator(operator::Command),
}

#[derive(Debug, Clone, Default, Args)]
pub(super) struct RunArgs {
    /// The one service to run here, or `gateway`; addresses of the others come from the configuration
    pub(super) service: Option<String>,
    /// Runs every service as a process of its own on this machine, and starts again what dies
    #[arg(long, conflicts_with = "service")]
    pub(super) split: bool,
    /// Where the gateway listens for HTTP [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Option<SocketAddr>,
    /// The directory of the databases [default: ./APP-data]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// The configuration file [default: divisi.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Builds a projection anew from the whole history, beside the one that serves; as `query.posts`
    #[arg(long, value_name = "PROJECTION")]
    pub(super) rebuild: Vec<String>,
    /// Reaches even services in this process over TCP, to see that it makes no difference
    #[arg(long, conflicts_with_all = ["service", "split"])]
    pub(super) over_tcp: bool,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("engine").required(true).args(["postgres", "nats", "kafka"]))]
pub(super) struct ProvisionArgs {
    /// A PostgreSQL server, as a role reaches it that may make roles and databases: `postgres://admin:…@host/postgres`
    #[arg(long, value_name = "ADMIN_URL")]
    pub(super) postgres: Option<String>,
    /// A NATS server, as a user reaches it that may make streams: `nats://operator:…@host:4222`
    #[arg(long, value_name = "ADMIN_URL")]
    pub(super) nats: Option<String>,
    /// Kafka, as a user reaches it that may make topics: `kafka://admin:…@host:9092`
    #[arg(long, value_name = "ADMIN_URL")]
    pub(super) kafka: Option<String>,
    /// Where to put what the broker is to be told: NATS's users, as its configuration includes them; Kafka's users and
    /// rights, as commands
    #[arg(long, value_name = "FILE", required_unless_present_any = ["dry_run", "postgres"], conflicts_with_all = ["dry_run", "postgres"])]
    pub(super) out: Option<PathBuf>,
    /// Touches nothing, and prints what would be done, without passwords
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Keeps passwords: those in this file are used, those that it lacks are made and written there
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub(super) password_file: Option<PathBuf>,
    /// The configuration file [default: divisi.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct MoveArgs {
    /// The service
    pub(super) service: String,
    /// Its own, empty database: `postgres://{service}:…@host/{service}` [default: what the configuration says of its store]
    #[arg(long, value_name = "URL")]
    pub(super) to: Option<String>,
    /// Changes nothing, and tells what would be copied and what is in the way
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Takes the move back, as long as the service has not started there
    #[arg(long, conflicts_with = "dry_run")]
    pub(super) back: bool,
    /// The directory of the files [default: ./APP-data]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// The configuration file [default: divisi.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// The services; without a name all whose data is in files
    pub(super) services: Vec<String>,
    /// The directory of the copies, which is not there yet, or empty
    #[arg(long, value_name = "DIR")]
    pub(super) to: PathBuf,
    /// The directory of the files [default: ./APP-data]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// The configuration file [default: divisi.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct CheckArgs {
    /// What `contracts` printed in the earlier version
    #[arg(long, value_name = "FILE")]
    pub(super) against: PathBuf,
}

/// What `contracts` prints.
#[derive(Debug, Deserialize)]
struct Promises {
    contracts: Vec<Contract>,
    events: Vec<EventSpec>,
}

/// There are changes that break the earlier version.
#[derive(Debug, thiserror::Error)]
#[error("{0} of these changes would break what runs today")]
struct Breaking(usize);

/// Compares the app's promises of today with those in `file`.
pub(super) fn check(graph: &Graph, file: &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let text = std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let old: Promises = serde_json::from_slice(&text)
        .map_err(|error| format!("{} is not what `contracts` prints: {error}", file.display()))?;
    let mut changes = Vec::new();
    let mut gone = Vec::new();
    for contract in &old.contracts {
        match graph.services().iter().flat_map(Service::contracts).find(|new| new.name == contract.name) {
            Some(new) => changes.extend(check_contract(contract, new)),
            None => gone.push(format!("contract `{}` is gone", contract.name)),
        }
    }
    for event in &old.events {
        match graph.services().iter().flat_map(Service::events).find(|new| new.name == event.name) {
            Some(new) => changes.extend(check_event(event, new)),
            None => gone.push(format!("event `{}` is gone", event.name)),
        }
    }
    for change in &changes {
        println!("{} {change}", if change.breaking { "breaks " } else { "adds   " });
    }
    for gone in &gone {
        println!("breaks  {gone}");
    }
    let n_breaking = changes.iter().filter(|change| change.breaking).count() + gone.len();
    if n_breaking == 0 { Ok(()) } else { Err(Breaking(n_breaking).into()) }
}
