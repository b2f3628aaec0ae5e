//! `projection`: the versions of read models.

use clap::Subcommand;
use serde_json::json;

use super::{At, BoxError, complete};
use crate::operator::answers::{Projection, Rebuilding};
use crate::operator::names;
use crate::operator::office::Office;
use crate::operator::protocol::Question;
use crate::operator::table::{Table, time};
use crate::service::Service;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Option<Act>,
    #[command(flatten)]
    pub(super) at: At,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Builds a new version from the whole history, beside the one that serves, and has it take over
    Rebuild {
        /// The projection, as `query.posts`
        projection: String,
    },
}

pub(super) async fn run(args: Args, office: &mut Office<'_>) -> Result<(), BoxError> {
    let Args { act, at } = args;
    match act {
        None => list(&at, office).await,
        Some(Act::Rebuild { projection }) => rebuild(&projection, &at, office).await,
    }
}

async fn list(at: &At, office: &mut Office<'_>) -> Result<(), BoxError> {
    let has_some = |service: &Service| !service.projections.is_empty();
    let (answers, absent) = office.ask_all::<Vec<Projection>>(has_some, &Question::Projections).await;
    let all: Vec<Projection> = answers.into_iter().flat_map(|(_, projections)| projections).collect();
    let mut table = Table::new(["PROJECTION", "ACTIVE", "SHAPE", "STATE", "BEFORE"]);
    for Projection { name, active, shape, building, previous } in &all {
        table.row([
            name.clone(),
            format!("v{active}"),
            shape.to_string(),
            building.map_or("live".to_owned(), |building| format!("building v{building}")),
            previous
                .map_or("-".to_owned(), |(version, until)| format!("v{version}, kept until {}", time(until))),
        ]);
    }
    let text = if all.is_empty() { "no projection has been built yet".to_owned() } else { table.to_string() };
    at.say(&json!({ "projections": all, "unanswered": absent }), &text)?;
    complete(absent)
}

async fn rebuild(name: &str, at: &At, office: &mut Office<'_>) -> Result<(), BoxError> {
    let service = names::projection(office.graph, name)?;
    let rebuilding: Rebuilding =
        office.ask(service, Question::Rebuild { projection: name.to_owned() }).await?;
    let text = match (rebuilding.version, rebuilding.running) {
        (Some(version), true) => {
            format!("version {version} of `{name}` is being built; it takes over when it has caught up")
        }
        (Some(version), false) => {
            format!("version {version} of `{name}` is built when `{}` starts", service.name())
        }
        (None, _) => format!("`{name}` will be built anew"),
    };
    at.say(&rebuilding, &text)
}
