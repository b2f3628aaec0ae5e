//! `parked`: keys whose events wait.

use clap::Subcommand;
use serde_json::json;

use super::{At, BoxError, complete};
use crate::operator::answers::{Dropped, Event, Parked, ParkedKey, Redriven, Resumed};
use crate::operator::names;
use crate::operator::office::Office;
use crate::operator::protocol::{ParkedAt, Question};
use crate::operator::table::{Table, age, plain, time};
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
    /// Tries a key now, its events in order, and says whether they took effect
    Redrive(Which),
    /// Gives up a key and its events for good; later events of the key are applied again
    Drop {
        #[command(flatten)]
        which: Which,
        /// Does it; without it, it only says what would be dropped
        #[arg(long)]
        yes: bool,
    },
    /// Lets the lanes of a consumer go on that too many failures have paused
    Resume {
        /// The consumer: a service, or a projection as `query.posts`
        consumer: String,
    },
}

#[derive(Debug, clap::Args)]
struct Which {
    /// The consumer: a service, or a projection as `query.posts`
    consumer: String,
    /// The key; with its source and topic before it where it is parked from several
    #[arg(required = true, num_args = 1..=3, value_names = ["[SOURCE TOPIC] KEY"])]
    key: Vec<String>,
}

/// Nothing that is parked has this key, or several have.
#[derive(Debug, thiserror::Error)]
enum WhichKey {
    #[error("key `{key}` is not parked in `{consumer}`{}", others(.parked))]
    None { consumer: String, key: String, parked: Vec<String> },
    #[error("key `{key}` is parked in `{consumer}` from several topics; say which: {}", .topics.join(", "))]
    Several { consumer: String, key: String, topics: Vec<String> },
    #[error("name the key alone, or its source and topic before it: `SOURCE TOPIC KEY`")]
    Words,
}

/// It was not asked for with certainty.
#[derive(Debug, thiserror::Error)]
#[error("nothing was dropped; say `--yes` to give these events up for good")]
struct NotSure;

/// It failed again.
#[derive(Debug, thiserror::Error)]
#[error("key `{key}` failed again and is {state}: {reason}")]
struct FailedAgain {
    key: String,
    state: String,
    reason: String,
}

pub(super) async fn run(args: Args, office: &mut Office<'_>) -> Result<(), BoxError> {
    let Args { act, at } = args;
    match act {
        None => list(&at, office).await,
        Some(Act::Redrive(which)) => redrive(which, &at, office).await,
        Some(Act::Drop { which, yes }) => give_up(which, yes, &at, office).await,
        Some(Act::Resume { consumer }) => resume(&consumer, &at, office).await,
    }
}

async fn list(at: &At, office: &mut Office<'_>) -> Result<(), BoxError> {
    let listens = |service: &Service| !service.listens().is_empty();
    let (answers, absent) = office.ask_all::<Parked>(listens, &Question::Parked).await;
    let mut table =
        Table::new(["CONSUMER", "SOURCE", "TOPIC", "KEY", "STATE", "EVENTS", "ATTEMPTS", "SINCE", "NEXT"]);
    let mut n_more = 0;
    for (_, Parked { now, keys, n_more: more }) in &answers {
        n_more += more;
        for key in keys {
            table.row([
                consumer(key),
                key.source.clone(),
                key.topic.clone(),
                key.key.clone(),
                key.state.clone(),
                key.n_events.to_string(),
                key.attempts.to_string(),
                format!("{} ago", age(*now, key.since)),
                key.next_at.map_or("-".to_owned(), |next| format!("in {}", age(next, *now))),
            ]);
            table.note(&key.reason);
            if let Some((topic, waits_for)) = key.waits_for.as_ref().filter(|_| key.state != "waiting") {
                table.note(&format!("waits for `{waits_for}` of topic `{topic}`"));
            }
        }
    }
    let mut text = if table.is_empty() { "no key is parked\n".to_owned() } else { table.to_string() };
    if n_more > 0 {
        text.push_str(&format!("and {n_more} keys more\n"));
    }
    let keys: Vec<&ParkedKey> = answers.iter().flat_map(|(_, parked)| &parked.keys).collect();
    at.say(&json!({ "parked": keys, "more": n_more, "unanswered": absent }), &text)?;
    complete(absent)
}

async fn redrive(which: Which, at: &At, office: &mut Office<'_>) -> Result<(), BoxError> {
    let (service, parked) = find(which, office).await?;
    let key = plain(&parked.key);
    let redriven: Redriven = office.ask(service, Question::Redrive { at: parked }).await?;
    let text = match &redriven {
        Redriven::Applied => format!("key `{key}` took effect, in order, and is parked no more"),
        Redriven::UnderWay => format!("key `{key}` is being tried; `parked` says how it goes"),
        Redriven::AtStart => {
            format!("`{}` does not run; key `{key}` is tried when it starts", service.name())
        }
        Redriven::FailedAgain { .. } => String::new(),
    };
    match redriven {
        Redriven::FailedAgain { state, reason } => {
            if at.json {
                at.say(&Redriven::FailedAgain { state: state.clone(), reason: reason.clone() }, &"")?;
            }
            Err(FailedAgain { key, state, reason: plain(&reason) }.into())
        }
        redriven => at.say(&redriven, &text),
    }
}

async fn give_up(which: Which, yes: bool, at: &At, office: &mut Office<'_>) -> Result<(), BoxError> {
    let (service, parked) = find(which, office).await?;
    let kept: Vec<Event> = office.ask(service, Question::Kept { at: parked.clone() }).await?;
    if !yes {
        let ParkedAt { consumer, source, topic, key } = &parked;
        let mut table = Table::new(["EVENT", "TYPE", "AT"]);
        for event in &kept {
            table.row([event.id.clone(), format!("{} v{}", event.kind, event.version), time(event.at)]);
            table.note(&event.payload);
        }
        let (key, n_shown) = (plain(key), kept.len());
        let text = format!(
            "`{consumer}` would never apply what waits of key `{key}` of `{source}/{topic}`; the first {n_shown}:\n{table}"
        );
        at.say(&json!({ "would_drop": kept, "at": parked }), &text)?;
        return Err(NotSure.into());
    }
    let key = plain(&parked.key);
    let dropped: Dropped = office.ask(service, Question::Drop { at: parked }).await?;
    let text = format!("dropped key `{key}` and {} of its events", dropped.n_events);
    at.say(&dropped, &text)
}

async fn resume(consumer: &str, at: &At, office: &mut Office<'_>) -> Result<(), BoxError> {
    let service = names::consumer(office.graph, consumer)?;
    let resumed: Resumed = office.ask(service, Question::Resume { consumer: consumer.to_owned() }).await?;
    let lanes: Vec<String> =
        resumed.lanes.iter().map(|lane| format!("lane {} of `{}`", lane.lane, lane.topic)).collect();
    let text = if lanes.is_empty() {
        format!("no lane of `{consumer}` is paused")
    } else {
        format!("{} of `{consumer}` goes on", lanes.join(", "))
    };
    at.say(&resumed, &text)
}

/// The parked key that is meant, and the service that holds it.
async fn find<'g>(which: Which, office: &mut Office<'g>) -> Result<(&'g Service, ParkedAt), BoxError> {
    let Which { consumer, key: mut words } = which;
    let service = names::consumer(office.graph, &consumer)?;
    if words.len() == 2 {
        return Err(WhichKey::Words.into());
    }
    let key = words.pop().unwrap_or_default();
    if let [source, topic] = words.as_slice() {
        let owner = names::service(office.graph, source)?;
        let topic = names::topic(owner, topic)?.to_owned();
        return Ok((service, ParkedAt { consumer, source: source.clone(), topic, key }));
    }
    let parked: Parked = office.ask(service, Question::Parked).await?;
    let (mut found, mut others): (Vec<ParkedAt>, Vec<String>) = (Vec::new(), Vec::new());
    for one in parked.keys.into_iter().filter(|one| one.consumer == consumer) {
        if one.key != key {
            others.push(plain(&one.key));
            continue;
        }
        let at = ParkedAt { consumer: one.consumer, source: one.source, topic: one.topic, key: one.key };
        if !found.contains(&at) {
            found.push(at);
        }
    }
    match found.len() {
        0 => Err(WhichKey::None { consumer, key, parked: others }.into()),
        1 => Ok((service, found.swap_remove(0))),
        _ => {
            let topics = found.iter().map(|at| format!("`{} {}`", at.source, at.topic)).collect();
            Err(WhichKey::Several { consumer, key, topics }.into())
        }
    }
}

fn consumer(key: &ParkedKey) -> String {
    match key.version {
        None => key.consumer.clone(),
        Some(version) => format!("{} v{version}", key.consumer),
    }
}

/// What else is parked: a few of them.
fn others(parked: &[String]) -> String {
    match parked {
        [] => "; nothing is".to_owned(),
        some => {
            let few: Vec<String> = some.iter().take(5).map(|key| format!("`{key}`")).collect();
            let more = some.len().saturating_sub(few.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("; parked there: {}{more}", few.join(", "))
        }
    }
}
