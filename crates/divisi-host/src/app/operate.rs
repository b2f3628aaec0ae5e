//! An operator's command: nothing runs here but the question.

use std::error::Error;

use super::command::RunArgs;
use super::run;
use crate::backends::Backends;
use crate::graph::Graph;
use crate::operator::{self, Command, Office};
use crate::runtime;

/// Does what `command` says and prints what came of it.
pub(super) fn operate(
    app: &str,
    graph: &Graph,
    backends: &dyn Backends,
    command: Command,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let at = command.at();
    let args = RunArgs { data: at.data.clone(), config: at.config.clone(), ..RunArgs::default() };
    let config = run::config(app, graph, &args)?;
    let runtime = runtime::builder().build()?;
    let stores = backends.stores(app, &config)?;
    let done = runtime.block_on(async {
        let mut office = Office::new(graph, stores, config.data.clone());
        let done = operator::run(command, &mut office).await;
        office.close().await;
        done
    });
    runtime.shutdown_background();
    done
}
