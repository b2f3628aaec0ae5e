//! `readers`: who reads a service's log.

use clap::Subcommand;
use serde_json::json;

use super::{At, BoxError};
use crate::operator::answers::Reader;
use crate::operator::names;
use crate::operator::office::Office;
use crate::operator::protocol::Question;
use crate::operator::table::{Table, age};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Option<Act>,
    /// The service whose log it is
    #[arg(required = true)]
    service: Option<String>,
    #[command(flatten)]
    pub(super) at: At,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Forgets a reader that the app no longer has, so that the log need not be kept for it
    Drop {
        /// The service whose log it is
        service: String,
        /// The reader, as `readers` names it
        reader: String,
        /// Does it; without it, it only says what would be forgotten
        #[arg(long)]
        yes: bool,
    },
}

/// It was not asked for with certainty.
#[derive(Debug, thiserror::Error)]
#[error("nothing was dropped; say `--yes` to forget `{0}`: it may find its place gone when it comes back")]
struct NotSure(String);

pub(super) async fn run(args: Args, office: &mut Office<'_>) -> Result<(), BoxError> {
    let Args { act, service, at } = args;
    match act {
        None => list(&service.unwrap_or_default(), &at, office).await,
        Some(Act::Drop { service, reader, yes }) => forget(&service, &reader, yes, &at, office).await,
    }
}

async fn list(service: &str, at: &At, office: &mut Office<'_>) -> Result<(), BoxError> {
    let service = names::service(office.graph, service)?;
    let readers: Vec<Reader> = office.ask(service, Question::Readers).await?;
    at.say(&json!({ "readers": readers }), &table(&readers))
}

async fn forget(
    service: &str,
    reader: &str,
    yes: bool,
    at: &At,
    office: &mut Office<'_>,
) -> Result<(), BoxError> {
    let service = names::service(office.graph, service)?;
    let readers: Vec<Reader> = office.ask(service, Question::Readers).await?;
    let mine: Vec<Reader> = readers.iter().filter(|one| one.name == reader).cloned().collect();
    if mine.is_empty() {
        let mut known: Vec<String> = readers.into_iter().map(|one| one.name).collect();
        known.dedup();
        return Err(names::unknown("reader", reader, known).into());
    }
    if !yes && !mine.iter().any(|one| one.in_the_app) {
        at.say(&json!({ "would_drop": mine }), &table(&mine))?;
        return Err(NotSure(reader.to_owned()).into());
    }
    let n_topics: usize = office.ask(service, Question::DropReader { reader: reader.to_owned() }).await?;
    let text = format!("`{}` keeps nothing for `{reader}` any more, in {n_topics} topics", service.name());
    at.say(&json!({ "topics": n_topics }), &text)
}

/// What readers have told, which is a few seconds old.
fn table(readers: &[Reader]) -> String {
    if readers.is_empty() {
        return "nobody reads this log".to_owned();
    }
    let mut table = Table::new(["READER", "TOPIC", "UNREAD, AS IT SAID", "SEEN"]);
    for reader in readers {
        table.row([
            reader.name.clone(),
            reader.topic.clone(),
            reader.unread.to_string(),
            format!("{} ago", age(reader.now, reader.seen_at)),
        ]);
        if !reader.in_the_app {
            table.note("the app has no such listener any more; the log is kept for it until it is dropped");
        } else if reader.missing {
            table.note("it has not been heard of for long; the log is kept for it");
        }
    }
    table.to_string()
}
