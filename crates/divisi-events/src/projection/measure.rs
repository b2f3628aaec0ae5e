//! How far a version is, and what it lacks of another.

use std::collections::BTreeMap;
use std::sync::Arc;

use divisi_contract::Context;
use divisi_contract::event::LANES;
use divisi_store::inbox::{Inbox, Watermark};
use divisi_store::parked::Parking;
use divisi_store::{
    Class, Epoch, Epochs, Lane, Pos, Store, StoreError, StoreErrorKind, Tx, TxFailed, params,
};

use super::{Input, Projection};
use crate::epochs;
use crate::fetch::{Fetch, LaneWanted};

/// Each parked key with the first of its events. A version has one consumer.
const HELD_BACK: &str = "SELECT source, topic, key, (SELECT min(e.pos) FROM divisi_parked_event e WHERE e.consumer = k.consumer AND \
                         e.source = k.source AND e.topic = k.topic AND e.key = k.key) FROM divisi_parked_key k";

/// Where a version is: in every lane of every input, and which keys it holds back.
#[derive(Debug)]
pub(super) struct Standing {
    marks: Vec<BTreeMap<Lane, Watermark>>,
    held_back: Vec<HeldBack>,
}

/// A parked key, and the first of its events that has not taken effect.
#[derive(Debug)]
struct HeldBack {
    source: String,
    topic: String,
    key: String,
    first: Pos,
}

impl Standing {
    /// What this one lacks of `other`, in words: a lane in which it is less far or in another epoch, or a key of which it holds back what
    /// took effect in the other.
    fn lacks(&self, other: &Standing, inboxes: &[Inbox]) -> Option<String> {
        self.lags(other, inboxes).or_else(|| self.withholds(other, inboxes))
    }

    /// A lane in which it is less far than `other` or in another epoch.
    fn lags(&self, other: &Standing, inboxes: &[Inbox]) -> Option<String> {
        for ((new, old), inbox) in self.marks.iter().zip(&other.marks).zip(inboxes) {
            for (lane, old) in old {
                let new = new.get(lane).copied().unwrap_or_default();
                let topic = &inbox.topic;
                if old.pos.0 > 0 && new.epoch != old.epoch {
                    return Some(format!(
                        "lane {lane} of `{topic}` is in epoch {}, the old one in {}",
                        new.epoch, old.epoch
                    ));
                }
                if new.pos < old.pos {
                    return Some(format!(
                        "lane {lane} of `{topic}` is at {}, the old one at {}",
                        new.pos, old.pos
                    ));
                }
            }
        }
        None
    }

    /// A key of which it holds back what took effect in `other`.
    fn withholds(&self, other: &Standing, inboxes: &[Inbox]) -> Option<String> {
        let held = self.held_back.iter().find(|held| other.applied(held, inboxes))?;
        Some(format!(
            "key `{}` of `{}` is parked in the new version and not in the old one",
            held.key, held.topic
        ))
    }

    /// Whether the first event that is held back elsewhere took effect in this version.
    fn applied(&self, held: &HeldBack, inboxes: &[Inbox]) -> bool {
        let same =
            |own: &&HeldBack| (&own.source, &own.topic, &own.key) == (&held.source, &held.topic, &held.key);
        if let Some(own) = self.held_back.iter().find(same) {
            return held.first < own.first;
        }
        let of = |inbox: &Inbox| inbox.source.as_str() == held.source && *inbox.topic == *held.topic;
        let Some((inbox, marks)) = inboxes.iter().zip(&self.marks).find(|(inbox, _)| of(inbox)) else {
            return false;
        };
        let lane = Parking { inbox, key: &held.key }.lane();
        marks.get(&lane).is_some_and(|mark| held.first <= mark.pos)
    }

    /// The epoch of an input: its lanes enter together.
    fn epoch(&self, input: usize) -> Epoch {
        self.marks.get(input).into_iter().flatten().map(|(_, mark)| mark.epoch).max().unwrap_or_default()
    }

    /// Looks at an input as if it had entered the last epoch of `theirs`, with its own list in hand.
    fn enter(&mut self, (input, inbox): (usize, &Inbox), theirs: &Epochs, mine: &Epochs) {
        let Some(marks) = self.marks.get_mut(input) else { return };
        let pruned = theirs.known.first().is_some_and(|oldest| *oldest > mine.current());
        for (lane, mark) in marks.iter_mut().filter(|(_, mark)| mark.pos.0 > 0) {
            mark.pos = match epochs::enter(theirs, mine, *lane, mark.pos) {
                Ok(entered) => entered.pos,
                // The source has forgotten that time, but not where what came later parts from it.
                Err(_) if pruned => mark.pos.min(epochs::beyond(theirs, *lane, mine.current())),
                // Nothing of it is of this source, and there is nothing to lack.
                Err(_) => Pos(0),
            };
            mark.epoch = theirs.current();
        }
        self.held_back.retain(|held| {
            let of = held.source == inbox.source.as_str() && *held.topic == *inbox.topic;
            let mark = marks.get(&Parking { inbox, key: &held.key }.lane());
            !of || mark.is_some_and(|mark| held.first <= mark.pos)
        });
    }
}

impl Projection {
    /// What the version in `new` lacks of the one in `old`, of which `standing` was seen.
    ///
    /// The old one does not enter an epoch any more when nobody keeps it up to date, as when its shape is another one: then it is compared
    /// as if it had. Where others read the new one already, a key that it holds back keeps nobody from going after them.
    pub(super) async fn lacks(
        &self,
        (new, is_taken): (&Store, bool),
        (old, standing): (&Store, &mut Standing),
        inputs: &[Input],
    ) -> Result<Option<String>, StoreError> {
        let inboxes = self.inboxes(inputs);
        let now = self.standing(new, inputs).await?;
        for (n, inbox) in inboxes.iter().enumerate() {
            if now.epoch(n) > standing.epoch(n) && standing.epoch(n).0 > 0 {
                let theirs = self::list(new, inbox).await?;
                let mine = self::list(old, inbox).await?;
                // It was entered a moment later than the watermarks were read.
                if theirs.current() == now.epoch(n) {
                    standing.enter((n, inbox), &theirs, &mine);
                }
            }
        }
        Ok(if is_taken { now.lags(standing, &inboxes) } else { now.lacks(standing, &inboxes) })
    }

    /// Where the version in `store` is. It asks as one who writes: readers may hold every other connection, for as long
    /// as their queries take.
    pub(super) async fn standing(&self, store: &Store, inputs: &[Input]) -> Result<Standing, StoreError> {
        let inboxes = self.inboxes(inputs);
        let looked = store
            .run(Class::Upkeep, async |tx: &mut Tx| {
                let mut marks = Vec::with_capacity(inboxes.len());
                for inbox in &inboxes {
                    marks.push(inbox.read(tx).await?.into_iter().collect());
                }
                let held_back: Vec<(String, String, String, Option<Pos>)> =
                    tx.query(HELD_BACK, params![]).await?;
                let held_back = held_back.into_iter().map(|(source, topic, key, first)| HeldBack {
                    source,
                    topic,
                    key,
                    first: first.unwrap_or_default(),
                });
                Ok(Standing { marks, held_back: held_back.collect() })
            })
            .await;
        looked.map(|(standing, _)| standing).map_err(TxFailed::into_error)
    }

    /// How many events the version in `store` has before it, over all inputs.
    pub(super) async fn behind(&self, store: &Store, inputs: &[Input]) -> Result<i64, StoreError> {
        let standing = self.standing(store, inputs).await?;
        let mut behind = 0;
        for (input, marks) in inputs.iter().zip(&standing.marks) {
            for (lane, head) in self.heads(input, marks).await? {
                let pos = marks.get(&lane).map_or(Pos(0), |mark| mark.pos);
                behind += (head.0 - pos.0).max(0);
            }
        }
        Ok(behind)
    }

    /// The ends of a source's lanes, by a fetch without room for records.
    async fn heads(
        &self,
        input: &Input,
        marks: &BTreeMap<Lane, Watermark>,
    ) -> Result<Vec<(Lane, Pos)>, StoreError> {
        let lane = |lane| {
            let mark = marks.get(&lane).copied().unwrap_or_default();
            LaneWanted { lane, epoch: mark.epoch, pos: mark.pos, applied: mark.pos }
        };
        let want = Fetch {
            topic: input.topic.into(),
            reader: self.reader(),
            lanes: (0..LANES).map(Lane).map(lane).collect(),
            max_records: 0,
            max_bytes: 0,
            wait_ms: 0,
        };
        let answer = input.feed.fetch(&Context::root(&self.spec.service), want).await;
        answer
            .map(|answer| answer.heads)
            .map_err(|error| StoreError::new(StoreErrorKind::Busy, error.to_string()))
    }

    fn inboxes(&self, inputs: &[Input]) -> Vec<Inbox> {
        let consumer = self.reader();
        let inbox = |input: &Input| Inbox {
            consumer: Arc::clone(&consumer),
            source: input.source.clone(),
            topic: input.topic.into(),
        };
        inputs.iter().map(inbox).collect()
    }
}

/// The source's list of epochs as a version has entered it.
async fn list(store: &Store, inbox: &Inbox) -> Result<Epochs, StoreError> {
    let read = store.run(Class::Upkeep, async |tx: &mut Tx| inbox.epochs(tx).await);
    read.await.map(|(list, _)| list).map_err(TxFailed::into_error)
}
