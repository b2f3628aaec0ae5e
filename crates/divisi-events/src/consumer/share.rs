//! Which lanes are this instance's, where a consumer runs in several.
//!
//! It saves work and nothing else: two instances that apply one lane wait for its watermark, and the second finds the
//! work done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use divisi_call::BoxFuture;
use divisi_contract::event::LANES;
use divisi_store::inbox::Inbox;
use divisi_store::{Class, Lane, Read, Store, StoreError, Tx, TxFailed, lease};

/// Lanes go from one instance to another in groups of so many.
pub const LANES_A_GROUP: u16 = 8;
const GROUPS: u16 = LANES / LANES_A_GROUP;

/// Some lanes of a topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LaneSet(u64);

/// What is said of the lanes of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mine {
    /// Those that are to be applied here from now on.
    pub lanes: LaneSet,
    /// After how long it is to be asked again.
    pub again: Duration,
}

/// Says which lanes are this instance's.
pub trait Share: Send + Sync + 'static {
    /// The lanes of an input that are this instance's now.
    fn lanes<'a>(&'a self, inbox: &'a Inbox) -> BoxFuture<'a, Result<Mine, StoreError>>;

    /// After how long it is asked again at the latest when there was no answer.
    fn every(&self) -> Duration;

    /// This instance applies no more of the input: its lanes are free for others.
    fn leave<'a>(&'a self, inbox: &'a Inbox) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// Shares lanes by leases in the service's database: each instance that is there has as many groups as another. Of more instances
/// than groups some have none, and wait.
///
/// An instance that is stopped gives its lanes back; those of one that dies are free when its session has ended and none was renewed for
/// [`lease::RENEWED_WITHIN`], or when the leases run out. When one joins, the others give it its share at their next renewal.
///
/// It costs a transaction of some ten short statements per input, instance and third of the leases' time: with
/// [`lease::TTL`] that is one in 3.3 s. Who waits for somebody to give it its share asks three times as often.
#[derive(Debug, Clone)]
pub struct LeasedLanes {
    store: Store,
    owner: Arc<str>,
    /// What is shared beside the consumer's own lanes, if anything: a version of a projection.
    of: String,
    ttl: Duration,
}

/// Who has what, as one renewal found and left it.
struct Dealt {
    mine: LaneSet,
    /// Whether somebody is about to give groups away.
    is_uneven: bool,
}

impl LaneSet {
    /// All lanes.
    pub const ALL: LaneSet = LaneSet(u64::MAX);
    /// No lane.
    pub const NONE: LaneSet = LaneSet(0);

    /// Whether a lane is among them.
    pub fn has(self, lane: Lane) -> bool {
        self.0 & bit(lane) != 0
    }

    /// These lanes.
    pub fn of(lanes: impl IntoIterator<Item = Lane>) -> LaneSet {
        LaneSet(lanes.into_iter().fold(0, |set, lane| set | bit(lane)))
    }

    /// Whether all of these are among those.
    pub(super) fn is_within(self, those: LaneSet) -> bool {
        self.0 & !those.0 == 0
    }

    /// These, and the lanes of a group.
    fn with_group(self, group: u16) -> LaneSet {
        let lanes = group * LANES_A_GROUP..(group + 1) * LANES_A_GROUP;
        LaneSet(self.0 | LaneSet::of(lanes.map(Lane)).0)
    }
}

impl LeasedLanes {
    /// Shares the lanes of the consumers of a service by leases in its `store`. `owner` is made anew by each process at its start.
    pub fn new(store: Store, owner: impl Into<Arc<str>>) -> LeasedLanes {
        LeasedLanes { store, owner: owner.into(), of: String::new(), ttl: lease::TTL }
    }

    /// The same for one version of a projection: each of them has all lanes.
    #[must_use]
    pub fn version(mut self, number: u32) -> LeasedLanes {
        self.of = version(number);
        self
    }

    /// The same with leases that last so long.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> LeasedLanes {
        self.ttl = ttl;
        self
    }

    /// Whether an instance other than `owner` is there that keeps version `number` of the projection `consumer` up to date.
    pub(crate) async fn is_kept(
        read: &mut Read,
        consumer: &str,
        number: u32,
        owner: &str,
    ) -> Result<bool, StoreError> {
        lease::is_held_by_others(read, &kept(consumer, number), lease::TTL, owner).await
    }

    /// Whether such an instance may be there, though nobody sees it at the moment.
    pub(crate) async fn may_be_kept(
        read: &mut Read,
        consumer: &str,
        number: u32,
        owner: &str,
    ) -> Result<bool, StoreError> {
        lease::may_be_held_by_others(read, &kept(consumer, number), lease::TTL, owner).await
    }

    /// Groups are looked at in order, by everybody: their rows are locked in one order.
    async fn deal(&self, tx: &mut Tx, inbox: &Inbox) -> Result<Dealt, StoreError> {
        let (here, groups) = (self.here(inbox), self.groups(inbox));
        lease::take(tx, &format!("{here}{}", self.owner), &self.owner, self.ttl).await?;
        // Every process that was ever killed has left a row.
        lease::forget(tx, &here).await?;
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
        let others = held.iter().map(|(_, owner)| &**owner).filter(|owner| *owner != &*self.owner);
        let mut n_of = BTreeMap::<&str, usize>::new();
        others.for_each(|owner| *n_of.entry(owner).or_default() += 1);
        Ok(Dealt { mine, is_uneven: n_of.values().any(|n| *n > fair) })
    }

    /// Under what an instance says that it is there, for one input.
    fn here(&self, inbox: &Inbox) -> String {
        let Inbox { consumer, source, topic } = inbox;
        format!("here/{consumer}{}/{source}/{topic}/", self.of)
    }

    fn groups(&self, inbox: &Inbox) -> String {
        let Inbox { consumer, source, topic } = inbox;
        format!("lanes/{consumer}{}/{source}/{topic}/", self.of)
    }
}

impl Share for LeasedLanes {
    fn lanes<'a>(&'a self, inbox: &'a Inbox) -> BoxFuture<'a, Result<Mine, StoreError>> {
        Box::pin(async move {
            let dealt = self.store.run(Class::Upkeep, async |tx: &mut Tx| self.deal(tx, inbox).await);
            let (Dealt { mine, is_uneven }, _) = dealt.await.map_err(TxFailed::into_error)?;
            let again = if is_uneven { self.every() / 3 } else { self.every() };
            Ok(Mine { lanes: mine, again })
        })
    }

    fn every(&self) -> Duration {
        self.ttl / 3
    }

    fn leave<'a>(&'a self, inbox: &'a Inbox) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let left = self.store.run(Class::Upkeep, async |tx: &mut Tx| {
                let (here, groups) = (self.here(inbox), self.groups(inbox));
                lease::release(tx, &format!("{here}{}", self.owner), &self.owner).await?;
                for group in 0..GROUPS {
                    lease::release(tx, &format!("{groups}{group}"), &self.owner).await?;
                }
                // A version that is over leaves nothing behind. Nobody compares the tokens of lanes.
                lease::forget(tx, &here).await?;
                lease::forget(tx, &groups).await
            });
            left.await.map(drop).map_err(TxFailed::into_error)
        })
    }
}

/// What stands before the leases of those who keep a version of the projection `consumer` up to date.
fn kept(consumer: &str, number: u32) -> String {
    format!("here/{consumer}{}/", version(number))
}

/// What is shared beside the consumer's own lanes: a version of a projection.
fn version(number: u32) -> String {
    format!(" v{number}")
}

/// The lane's own bit; no topic has a lane without one.
fn bit(lane: Lane) -> u64 {
    1_u64.checked_shl(u32::from(lane.0)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
