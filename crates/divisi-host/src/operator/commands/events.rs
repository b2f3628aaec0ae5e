//! `events`: a service's log, readable.

use std::str::FromStr;

use divisi_store::{Epoch, Lane, Pos, Position};
use serde_json::{Value, json};

use super::{At, BoxError};
use crate::operator::answers::Event;
use crate::operator::names;
use crate::operator::office::Office;
use crate::operator::protocol::Question;
use crate::operator::table::{plain, time};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service that announced them
    service: String,
    /// Only of this topic
    #[arg(long)]
    topic: Option<String>,
    /// Only of this key
    #[arg(long)]
    key: Option<String>,
    /// Those that come after this one in its lane, as events are printed; order is promised there and nowhere else
    #[arg(long, value_name = "EPOCH/TOPIC/LANE/POS")]
    after: Option<EventId>,
    /// So many at the most; without `--after` the newest
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    #[command(flatten)]
    pub(super) at: At,
}

/// The id of an event, as it is printed.
#[derive(Debug, Clone)]
struct EventId(Position);

/// The text is no id of an event.
#[derive(Debug, thiserror::Error)]
#[error("an event is named as EPOCH/TOPIC/LANE/POS")]
struct NoEventId;

pub(super) async fn run(args: Args, office: &mut Office<'_>) -> Result<(), BoxError> {
    let Args { service, topic, key, after, limit, at } = args;
    let service = names::service(office.graph, &service)?;
    for topic in topic.as_deref().into_iter().chain(after.as_ref().map(|EventId(after)| &*after.topic)) {
        names::topic(service, topic)?;
    }
    let after = after.map(|EventId(position)| position);
    let question = Question::Events { topic, key, after, limit: limit.into() };
    let events: Vec<Event> = office.ask(service, question).await?;
    let text: String = events.iter().map(lines).collect();
    let text = if events.is_empty() { "no events".to_owned() } else { text };
    let data: Vec<Value> = events.iter().map(value).collect();
    at.say(&json!({ "events": data }), &text)
}

fn lines(event: &Event) -> String {
    let Event { id, at, key, kind, version, payload, .. } = event;
    format!("{} {} {kind} v{version} of {}\n    {}\n", time(*at), plain(id), plain(key), plain(payload))
}

/// The event with its content as JSON, where it is JSON.
fn value(event: &Event) -> Value {
    let parsed = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    json!({
        "id": event.id,
        "at": event.at,
        "time": time(event.at),
        "topic": event.topic,
        "key": event.key,
        "type": event.kind,
        "version": event.version,
        "headers": parsed(&event.headers),
        "payload": parsed(&event.payload),
    })
}

impl FromStr for EventId {
    type Err = NoEventId;

    fn from_str(text: &str) -> Result<EventId, NoEventId> {
        let mut parts = text.split('/');
        let mut next = || parts.next().ok_or(NoEventId);
        let (epoch, topic, lane, pos) = (next()?, next()?, next()?, next()?);
        if parts.next().is_some() {
            return Err(NoEventId);
        }
        let number = |text: &str| text.parse::<i64>().ok().filter(|n| *n >= 0).ok_or(NoEventId);
        Ok(EventId(Position {
            epoch: Epoch(number(epoch)?),
            topic: topic.into(),
            lane: Lane(lane.parse().map_err(|_| NoEventId)?),
            pos: Pos(number(pos)?),
        }))
    }
}
