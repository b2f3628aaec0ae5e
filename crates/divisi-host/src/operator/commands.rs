//! The words of an operator's commands, one command a file.

mod epochs;
mod events;
mod lag;
mod parked;
mod projection;
mod readers;

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::office::{Absent, Office};

type BoxError = Box<dyn Error + Send + Sync>;

/// What an operator may ask; through the running processes, or of the databases when nothing runs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists keys whose events wait, and why; tries one again, gives one up, lets a paused lane go on
    Parked(parked::Args),
    /// Prints how far each reader is behind, and what is in its way
    Lag(At),
    /// Prints events of a service's log: the newest, or those after one of them
    Events(events::Args),
    /// Lists the versions of projections, or builds one anew beside the one that serves
    Projection(projection::Args),
    /// Lists who reads a service's log, or forgets a reader
    Readers(readers::Args),
    /// Prints the lives of a service's database
    Epochs(epochs::Args),
}

/// Where the app is, and for whom the answer is.
#[derive(Debug, Clone, Args)]
pub(crate) struct At {
    /// The directory of the databases [default: ./APP-data]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) data: Option<PathBuf>,
    /// The configuration file [default: divisi.toml, if there is one]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Prints JSON, for machines
    #[arg(long, global = true)]
    json: bool,
}

/// Some services did not answer; what the others said has been printed.
#[derive(Debug, thiserror::Error)]
struct Incomplete(Vec<Absent>);

impl Command {
    /// Where the app is.
    pub(crate) fn at(&self) -> &At {
        match self {
            Command::Parked(args) => &args.at,
            Command::Lag(at) => at,
            Command::Events(args) => &args.at,
            Command::Projection(args) => &args.at,
            Command::Readers(args) => &args.at,
            Command::Epochs(args) => &args.at,
        }
    }
}

/// Does what `command` says, and prints what came of it.
pub(crate) async fn run(command: Command, office: &mut Office<'_>) -> Result<(), BoxError> {
    match command {
        Command::Parked(args) => parked::run(args, office).await,
        Command::Lag(at) => lag::run(at, office).await,
        Command::Events(args) => events::run(args, office).await,
        Command::Projection(args) => projection::run(args, office).await,
        Command::Readers(args) => readers::run(args, office).await,
        Command::Epochs(args) => epochs::run(args, office).await,
    }
}

impl At {
    /// Prints `data` for machines or `text` for people.
    fn say(&self, data: &impl Serialize, text: &impl fmt::Display) -> Result<(), BoxError> {
        let said = if self.json { serde_json::to_string_pretty(data)? } else { text.to_string() };
        let mut out = io::stdout().lock();
        match writeln!(out, "{}", said.trim_end()).and_then(|()| out.flush()) {
            // Whoever read it has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            printed => Ok(printed?),
        }
    }
}

/// An error when somebody did not answer.
fn complete(absent: Vec<Absent>) -> Result<(), BoxError> {
    if absent.is_empty() { Ok(()) } else { Err(Incomplete(absent).into()) }
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not every service answered")?;
        for Absent { service, why } in &self.0 {
            write!(f, "\n    {service}: {why}")?;
        }
        Ok(())
    }
}
