//! Notices that so much fails that parking would empty a topic.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::options::PauseOptions;

/// How finely the window slides.
const SLICES: u32 = 60;

/// Counts what was parked within a window, for all lanes of an input.
///
/// The lanes of a topic share it: a bad deployment fails in all of them, and each alone would park its share.
#[derive(Debug)]
pub(super) struct Breaker {
    options: PauseOptions,
    slices: Mutex<VecDeque<Slice>>,
}

#[derive(Debug, Clone, Copy)]
struct Slice {
    since: Instant,
    n_events: u64,
    n_parked: u64,
}

/// Leave to park keys, given back unless it is kept: a transaction that did not happen parked nothing.
#[derive(Debug)]
pub(super) struct Permits<'a> {
    breaker: &'a Breaker,
    taken: u64,
}

impl Breaker {
    pub(super) fn new(options: PauseOptions) -> Breaker {
        Breaker { options, slices: Mutex::default() }
    }

    /// No leave yet.
    pub(super) fn permits(&self) -> Permits<'_> {
        Permits { breaker: self, taken: 0 }
    }

    /// So many events were handled.
    pub(super) fn handled(&self, n_events: u64, now: Instant) {
        self.with(now, |_, today| today.n_events += n_events);
    }

    /// Forgets what was counted.
    pub(super) fn reset(&self) {
        self.slices.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn take(&self, now: Instant) -> bool {
        let options = self.options;
        self.with(now, |(n_events, n_parked), today| {
            let n_parked = n_parked + 1;
            let too_many = n_parked > options.keys_max as u64;
            let too_large = n_events >= options.share_of_events_min
                && n_parked as f64 >= options.share_max * n_events as f64;
            if !too_many && !too_large {
                today.n_parked += 1;
            }
            !too_many && !too_large
        })
    }

    fn give_back(&self, n_permits: u64) {
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = n_permits;
        for slice in slices.iter_mut().rev() {
            let here = left.min(slice.n_parked);
            slice.n_parked -= here;
            left -= here;
        }
    }

    fn with<T>(&self, now: Instant, look: impl FnOnce((u64, u64), &mut Slice) -> T) -> T {
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        while slices.front().is_some_and(|slice| now.duration_since(slice.since) >= self.options.window) {
            slices.pop_front();
        }
        let sum = slices
            .iter()
            .fold((0, 0), |(events, parked), slice| (events + slice.n_events, parked + slice.n_parked));
        let fresh = Slice { since: now, n_events: 0, n_parked: 0 };
        match slices.back() {
            Some(last) if now.duration_since(last.since) < self.options.window / SLICES => {}
            _ => slices.push_back(fresh),
        }
        let mut none = fresh;
        look(sum, slices.back_mut().unwrap_or(&mut none))
    }
}

impl Permits<'_> {
    /// Asks to park one more key; `false`: pause instead.
    pub(super) fn take(&mut self) -> bool {
        let taken = self.breaker.take(Instant::now());
        self.taken += u64::from(taken);
        taken
    }

    /// The keys are parked.
    pub(super) fn keep(mut self) {
        self.taken = 0;
    }
}

impl Drop for Permits<'_> {
    fn drop(&mut self) {
        self.breaker.give_back(self.taken);
    }
}

#[cfg(test)]
mod tests;
