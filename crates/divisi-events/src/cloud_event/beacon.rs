//! What a source says of itself, as a message.
//!
//! A list of 256 epochs and 64 busy lanes has 16,384 forks: each is three short numbers, `[lane, place, position]`,
//! where the place is that of its epoch in `epochs`. So the largest is 300 KiB, which every carrier takes.

use bytes::Bytes;
use divisi_contract::ServiceName;
use divisi_store::epoch::Fork;
use divisi_store::{Epoch, Epochs, Lane, Pos};
use serde::{Deserialize, Serialize};

use super::headers::{Attributes, CONTENT_TYPE, ID, SOURCE, SPECVERSION, TOPIC, TYPE, Written};
use super::{BEACON_TYPE, CloudEventError, Content, record};

#[derive(Serialize, Deserialize)]
struct Body {
    /// The list, oldest first, and behind it epochs that only forks name.
    epochs: Vec<Epoch>,
    /// How many of them are the list.
    known: usize,
    forks: Vec<(Lane, usize, Pos)>,
    heads: Vec<(Lane, Pos)>,
}

pub(super) fn write(headers: &mut Written, source: &ServiceName, topic: &str, epochs: &Epochs) {
    headers.put(SPECVERSION, "1.0");
    // Two beacons of one epoch are one event to a stranger who drops copies by id: the newer says nothing that the
    // older contradicts.
    headers.put(ID, format!("{}/{topic}/beacon", epochs.current()));
    headers.put(SOURCE, format!("/{source}"));
    headers.put(TYPE, BEACON_TYPE);
    headers.put(CONTENT_TYPE, "application/json");
    headers.put(TOPIC, topic);
}

pub(super) fn body(epochs: &Epochs, heads: &[(Lane, Pos)]) -> Bytes {
    let mut all = epochs.known.clone();
    let mut place = |epoch: Epoch| match all.iter().position(|known| *known == epoch) {
        Some(place) => place,
        None => {
            all.push(epoch);
            all.len() - 1
        }
    };
    let forks = epochs.forks.iter().map(|fork| (fork.lane, place(fork.epoch), fork.fork)).collect();
    let body = Body { epochs: all, known: epochs.known.len(), forks, heads: heads.to_vec() };
    // Numbers in arrays always are JSON.
    serde_json::to_vec(&body).unwrap_or_default().into()
}

pub(super) fn read(attributes: &Attributes<'_>, payload: &[u8]) -> Result<Content, CloudEventError> {
    let wrong = |why: String| CloudEventError::Body { expected: "a beacon", why };
    let body: Body = serde_json::from_slice(payload).map_err(|error| wrong(error.to_string()))?;
    let fork = |(lane, place, fork): (Lane, usize, Pos)| match body.epochs.get(place) {
        Some(&epoch) => Ok(Fork { lane, epoch, fork }),
        None => Err(wrong(format!("lane {lane} has a fork of an epoch that is not in the list"))),
    };
    let forks = body.forks.iter().copied().map(fork).collect::<Result<_, _>>()?;
    let Some(known) = body.epochs.get(..body.known) else {
        return Err(wrong("its list is shorter than it says".to_owned()));
    };
    Ok(Content::Beacon {
        source: record::source(attributes)?,
        topic: (&*attributes.required(TOPIC)?).into(),
        epochs: Epochs { known: known.to_vec(), forks },
        heads: body.heads,
    })
}
