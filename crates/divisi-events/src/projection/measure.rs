//! How far a version is, and what it lacks of another.

use std::collections::BTreeMap;

use divisi_contract::Context;
use divisi_contract::event::LANES;
use divisi_store::inbox::{Inbox, Watermark};
use divisi_store::{Class, Lane, Pos, Store, StoreError, StoreErrorKind, Tx, TxFailed, params};

use super::{Input, Projection};
use crate::fetch::{Fetch, LaneWanted};

/// Where a version is: in every lane of every input, and which keys it holds back.
#[derive(Debug)]
pub(super) struct Standing {
    marks: Vec<BTreeMap<Lane, Watermark>>,
    held_back: Vec<(String, String)>,
}

impl Standing {
    /// What this one lacks of `other`, in words: a lane in which it is less far or in another epoch, or a key that it
    /// holds back and the other does not.
    pub(super) fn lacks(&self, other: &Standing, inputs: &[Input]) -> Option<String> {
        for ((new, old), input) in self.marks.iter().zip(&other.marks).zip(inputs) {
            for (lane, old) in old {
                let new = new.get(lane).copied().unwrap_or_default();
                if new.pos < old.pos || (old.pos.0 > 0 && new.epoch != old.epoch) {
                    return Some(format!(
                        "lane {lane} of `{}` is at {}, the old one at {}",
                        input.topic, new.pos, old.pos
                    ));
                }
            }
        }
        let (topic, key) = self.held_back.iter().find(|key| !other.held_back.contains(key))?;
        Some(format!("key `{key}` of `{topic}` is parked in the new version and not in the old one"))
    }
}

impl Projection {
    /// Where the version in `store` is. It asks as one who writes: readers may hold every other connection, for as long
    /// as their queries take.
    pub(super) async fn standing(&self, store: &Store, inputs: &[Input]) -> Result<Standing, StoreError> {
        let inboxes: Vec<Inbox> = inputs.iter().map(|input| self.inbox(input)).collect();
        let looked = store
            .run(Class::Upkeep, async |tx: &mut Tx| {
                let mut marks = Vec::with_capacity(inboxes.len());
                for inbox in &inboxes {
                    marks.push(inbox.read(tx).await?.into_iter().collect());
                }
                let held_back = tx.query("SELECT topic, key FROM divisi_parked_key", params![]).await?;
                Ok(Standing { marks, held_back })
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

    fn inbox(&self, input: &Input) -> Inbox {
        Inbox { consumer: self.reader(), source: input.source.clone(), topic: input.topic.into() }
    }
}
