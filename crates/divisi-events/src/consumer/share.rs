//! Which lanes are this instance's, where a consumer runs in several.
//!
//! It saves work and nothing else: two instances that apply one lane wait for its watermark, and the second finds the
//! work done.

use std::sync::Arc;
use std::time::Duration;

use divisi_call::BoxFuture;
use divisi_contract::event::LANES;
use divisi_store::inbox::Inbox;
use divisi_store::{Class, Lane, Store, StoreError, Tx, TxFailed, lease};

/// Lanes go from one instance to another in groups of so many.
pub const LANES_A_GROUP: u16 = 8;
const GROUPS: u16 = LANES / LANES_A_GROUP;

/// Some lanes of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneSet(u64);

/// Says which lanes are this instance's.
pub trait Share: Send + Sync + 'static {
    /// The lanes of an input that are to be applied here from now on.
    fn lanes<'a>(&'a self, inbox: &'a Inbox) -> BoxFuture<'a, Result<LaneSet, StoreError>>;

    /// How often that is asked.
    fn every(&self) -> Duration;

    /// This instance applies no more of the input: its lanes are free for others.
    fn leave<'a>(&'a self, inbox: &'a Inbox) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// Shares lanes by leases in the consumer's database: each instance that is there has as many groups as another.
///
/// An instance that is stopped gives its lanes back; those of one that dies are free when the leases run out. When one
/// joins, the others give it its share at their next renewal.
#[derive(Debug, Clone)]
pub struct LeasedLanes {
    store: Store,
    owner: Arc<str>,
    ttl: Duration,
}

impl LaneSet {
    /// All lanes.
    pub const ALL: LaneSet = LaneSet(u64::MAX);
    /// No lane.
    pub const NONE: LaneSet = LaneSet(0);

    /// Whether a lane is among them.
    pub fn has(self, lane: Lane) -> bool {
        1_u64.checked_shl(u32::from(lane.0)).is_some_and(|bit| self.0 & bit != 0)
    }

    /// These, and the lanes of a group.
    fn with_group(self, group: u16) -> LaneSet {
        let lanes = group * LANES_A_GROUP..(group + 1) * LANES_A_GROUP;
        LaneSet(lanes.fold(self.0, |set, lane| set | 1_u64.checked_shl(u32::from(lane)).unwrap_or(0)))
    }
}

impl LeasedLanes {
    /// Shares the lanes of a consumer in `store`. `owner` is made anew by each process at its start.
    pub fn new(store: Store, owner: impl Into<Arc<str>>) -> LeasedLanes {
        LeasedLanes { store, owner: owner.into(), ttl: lease::TTL }
    }

    /// The same with leases that last so long.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> LeasedLanes {
        self.ttl = ttl;
        self
    }

    /// Groups are looked at in order, by everybody: their rows are locked in one order.
    async fn take(&self, tx: &mut Tx, inbox: &Inbox) -> Result<LaneSet, StoreError> {
        let (here, groups) = (here(inbox), groups(inbox));
        lease::take(tx, &format!("{here}{}", self.owner), &self.owner, self.ttl).await?;
        let n_here = lease::held(tx, &here, self.ttl).await?.len().max(1);
        let held = lease::held(tx, &groups, self.ttl).await?;
        let fair = usize::from(GROUPS).div_ceil(n_here);
        let (mut mine, mut n_mine) = (LaneSet::NONE, 0);
        for group in 0..GROUPS {
            let name = format!("{groups}{group}");
            let owner = held.iter().find(|(held, _)| *held == name).map(|(_, owner)| &**owner);
            match owner {
                Some(owner) if owner != &*self.owner => {}
                Some(_) if n_mine >= fair => drop(lease::release(tx, &name, &self.owner).await?),
                None if n_mine >= fair => {}
                _ => {
                    if lease::take(tx, &name, &self.owner, self.ttl).await?.is_some() {
                        (mine, n_mine) = (mine.with_group(group), n_mine + 1);
                    }
                }
            }
        }
        Ok(mine)
    }
}

impl Share for LeasedLanes {
    fn lanes<'a>(&'a self, inbox: &'a Inbox) -> BoxFuture<'a, Result<LaneSet, StoreError>> {
        Box::pin(async move {
            let taken = self.store.run(Class::Consumer, async |tx: &mut Tx| self.take(tx, inbox).await);
            taken.await.map(|(lanes, _)| lanes).map_err(TxFailed::into_error)
        })
    }

    fn every(&self) -> Duration {
        self.ttl / 3
    }

    fn leave<'a>(&'a self, inbox: &'a Inbox) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let left = self.store.run(Class::Consumer, async |tx: &mut Tx| {
                let (here, groups) = (here(inbox), groups(inbox));
                lease::release(tx, &format!("{here}{}", self.owner), &self.owner).await?;
                for group in 0..GROUPS {
                    lease::release(tx, &format!("{groups}{group}"), &self.owner).await?;
                }
                Ok(())
            });
            left.await.map(drop).map_err(TxFailed::into_error)
        })
    }
}

/// Under what an instance says that it is there, for one input.
fn here(inbox: &Inbox) -> String {
    let Inbox { consumer, source, topic } = inbox;
    format!("here/{consumer}/{source}/{topic}/")
}

fn groups(inbox: &Inbox) -> String {
    let Inbox { consumer, source, topic } = inbox;
    format!("lanes/{consumer}/{source}/{topic}/")
}

#[cfg(test)]
mod tests;
