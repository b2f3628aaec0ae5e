//! An app: its services, and the command line that runs them.

mod backup;
mod command;
mod moving;
mod operate;
mod provision;
mod run;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches};

use crate::backends::Backends;
use crate::edge::EdgeServer;
use crate::graph::Graph;
use crate::service::Service;
use crate::supervisor::supervised::{Supervised, supervised_child_setup};
use crate::telemetry::Report;

use command::{Cli, Command};

/// An app: the composition root, which reads like a table of contents.
pub struct App {
    name: &'static str,
    services: Vec<Service>,
    backends: Arc<dyn Backends>,
    edge: Option<Arc<dyn EdgeServer>>,
}

impl App {
    /// An app called `name`, as its binary is, whose services keep their data in what `backends` brings.
    pub fn new(name: &'static str, backends: impl Backends) -> App {
        App { name, services: Vec::new(), backends: Arc::new(backends), edge: None }
    }

    /// Adds a service.
    #[must_use]
    pub fn service(mut self, service: Service) -> App {
        self.services.push(service);
        self
    }

    /// Adds the HTTP edge.
    #[must_use]
    pub fn edge(mut self, edge: impl EdgeServer) -> App {
        self.edge = Some(Arc::new(edge));
        self
    }

    /// Reads the command line and does what it says. `0` when all went well, `1` for an error that is printed, `2`
    /// for a command line that cannot be understood.
    pub fn main(self) -> ExitCode {
        // First of all, and on this thread: from here on a supervised process ends with its supervisor.
        let supervised = match supervised_child_setup() {
            Ok(supervised) => supervised,
            Err(error) => {
                eprintln!("{}", Report::new(&error));
                return ExitCode::FAILURE;
            }
        };
        let command = Cli::command().name(self.name).bin_name(self.name);
        let cli = match command.try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
            Ok(cli) => cli,
            Err(error) => {
                // Printing fails only when nobody reads.
                let _ = error.print();
                return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
            }
        };
        match self.execute(cli, supervised.as_ref()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                if let Some(supervised) = supervised {
                    supervised.failed(&*error);
                }
                eprintln!("{}", Report::new(&*error));
                ExitCode::FAILURE
            }
        }
    }

    fn execute(
        self,
        cli: Cli,
        supervised: Option<&Supervised>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let App { name, services, backends, edge } = self;
        let graph = Graph::new(services)?;
        match cli.command.unwrap_or(Command::Run(cli.run)) {
            Command::Run(args) => run::run(name, graph, &*backends, edge, args, supervised),
            Command::Graph => {
                print!("{graph}");
                Ok(())
            }
            Command::Contracts => {
                let contracts: Vec<_> = graph.services().iter().flat_map(Service::contracts).collect();
                let events: Vec<_> = graph.services().iter().flat_map(Service::events).collect();
                let data = serde_json::json!({ "contracts": contracts, "events": events });
                println!("{}", serde_json::to_string_pretty(&data)?);
                Ok(())
            }
            Command::Check(args) => command::check(&graph, &args.against),
            Command::Config(args) => {
                for setting in run::config(name, &graph, &args)?.settings() {
                    println!("{setting}");
                }
                Ok(())
            }
            Command::Provision(args) => provision::provision(name, &graph, &*backends, &args),
            Command::Move(args) => moving::move_service(name, &graph, &*backends, args),
            Command::Backup(args) => backup::back_up(name, &graph, &*backends, args),
            Command::Operator(command) => operate::operate(name, &graph, &*backends, command),
        }
    }
}
