//! Fetches that wait for a lane to grow.
//!
//! A fetch registers once for all its lanes, as a set of bits: a commit looks at each waiting fetch once, and wakes
//! exactly those that want what has grown.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use divisi_contract::event::LANES;
use divisi_store::Lane;

use super::TopicTail;

/// Fetches of one topic that wait at the same time, at the most.
pub const WAITING_MAX: usize = 1_024;

const _: () = assert!(LANES as u32 <= u64::BITS, "a set of lanes is the bits of one number");

/// Too many fetches wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{WAITING_MAX} fetches wait for this topic already, which is the limit")]
pub struct TooManyWaiting;

/// A fetch's registration for the wake-up of its lanes. Dropping it takes it back.
#[derive(Debug)]
pub struct Waiting {
    tail: Arc<TopicTail>,
    id: u64,
}

/// The waiting fetches of one topic, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    next_id: u64,
    waiting: BTreeMap<u64, Registered>,
}

#[derive(Debug)]
struct Registered {
    lanes: u64,
    woken: bool,
    waker: Option<Waker>,
}

/// A lane as a set; empty for a lane that no topic has.
pub(super) fn bit(lane: Lane) -> u64 {
    1_u64.checked_shl(u32::from(lane.0)).unwrap_or(0)
}

impl Waiting {
    pub(super) fn new(tail: Arc<TopicTail>, id: u64) -> Waiting {
        Waiting { tail, id }
    }

    /// Waits until one of the lanes has grown, or the tail has forgotten or closed, since the registration or the last
    /// wake-up.
    pub async fn woken(&mut self) {
        poll_fn(|task| self.tail.poll_woken(self.id, task.waker())).await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.tail.take_back(self.id);
    }
}

impl Fetches {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn register(&mut self, lanes: u64) -> Result<u64, TooManyWaiting> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(TooManyWaiting);
        }
        self.next_id += 1;
        self.waiting.insert(self.next_id, Registered { lanes, woken: false, waker: None });
        Ok(self.next_id)
    }

    /// Marks those that want one of `lanes`; brings the wakers of those that sleep.
    pub(super) fn wake(&mut self, lanes: u64) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for fetch in self.waiting.values_mut().filter(|fetch| fetch.lanes & lanes != 0) {
            fetch.woken = true;
            wakers.extend(fetch.waker.take());
        }
        wakers
    }

    pub(super) fn poll(&mut self, id: u64, waker: &Waker) -> Poll<()> {
        let Some(fetch) = self.waiting.get_mut(&id) else { return Poll::Ready(()) };
        if std::mem::take(&mut fetch.woken) {
            return Poll::Ready(());
        }
        match &mut fetch.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        Poll::Pending
    }

    pub(super) fn take_back(&mut self, id: u64) {
        self.waiting.remove(&id);
    }
}
