//! Calls that wait for their answers.

use std::task::{Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use divisi_contract::{CallError, Deadline};

/// What came of a call.
pub(super) type Outcome = Result<Bytes, CallError<Bytes>>;

/// The calls of one connection, by id.
///
/// An id is a place in a table and the number of its use, so that a late answer to a call that was given up never
/// reaches the call that has its place now.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    places: Vec<Place>,
    free: Vec<u32>,
    n_waiting: usize,
}

#[derive(Debug)]
struct Place {
    /// How often the place was taken; never zero, because the id zero means no call.
    uses: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Free,
    Waiting(Waiting),
    Over(Outcome),
}

/// A call without an answer.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Whom to wake.
    pub(super) waker: Waker,
    /// Until when it waits.
    pub(super) deadline: Deadline,
    /// Where its frame ends, counted in bytes since the connection began.
    pub(super) end: u64,
}

impl InFlight {
    /// Calls without an answer.
    pub(super) fn waiting(&self) -> usize {
        self.n_waiting
    }

    /// The id that the next call will have.
    pub(super) fn next_id(&mut self) -> u64 {
        let at = match self.free.last() {
            Some(at) => *at,
            None => {
                // Far fewer calls than this fit under any limit.
                let at = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
                self.places.push(Place { uses: 1, state: State::Free });
                self.free.push(at);
                at
            }
        };
        u64::from(self.places[at as usize].uses) << 32 | u64::from(at)
    }

    /// Takes the place of [`InFlight::next_id`].
    pub(super) fn insert(&mut self, waiting: Waiting) {
        if let Some(at) = self.free.pop() {
            self.places[at as usize].state = State::Waiting(waiting);
            self.n_waiting += 1;
        }
    }

    /// Notes what came of a call, and says whom to wake; `None` when nobody waits for it.
    pub(super) fn complete(&mut self, id: u64, outcome: Outcome) -> Option<Waker> {
        let place = self.place(id)?;
        if !matches!(place.state, State::Waiting(_)) {
            return None;
        }
        let State::Waiting(waiting) = std::mem::replace(&mut place.state, State::Over(outcome)) else {
            return None;
        };
        self.n_waiting -= 1;
        Some(waiting.waker)
    }

    /// What came of a call; its place is free afterwards.
    pub(super) fn poll(&mut self, id: u64, waker: &Waker) -> Poll<Outcome> {
        let Some(place) = self.place(id) else { return Poll::Pending };
        if let State::Waiting(waiting) = &mut place.state {
            waiting.waker.clone_from(waker);
            return Poll::Pending;
        }
        match self.leave(id) {
            Some(State::Over(outcome)) => Poll::Ready(outcome),
            _ => Poll::Pending,
        }
    }

    /// Gives a call up; `true` when it had no answer yet.
    pub(super) fn abandon(&mut self, id: u64) -> bool {
        let waited = matches!(self.leave(id), Some(State::Waiting(_)));
        self.n_waiting -= usize::from(waited);
        waited
    }

    /// Ends every call that waits and for which `outcome` has one.
    pub(super) fn complete_where(
        &mut self,
        outcome: impl Fn(&Waiting) -> Option<Outcome>,
        mut ended: impl FnMut(u64, Waker),
    ) {
        for (place, at) in self.places.iter_mut().zip(0_u64..) {
            let State::Waiting(waiting) = &place.state else { continue };
            let Some(outcome) = outcome(waiting) else { continue };
            if let State::Waiting(waiting) = std::mem::replace(&mut place.state, State::Over(outcome)) {
                self.n_waiting -= 1;
                ended(u64::from(place.uses) << 32 | at, waiting.waker);
            }
        }
    }

    /// The soonest deadline of all that wait.
    pub(super) fn soonest(&self) -> Option<Instant> {
        let deadline = |place: &Place| match &place.state {
            State::Waiting(waiting) => waiting.deadline.instant(),
            _ => None,
        };
        self.places.iter().filter_map(deadline).min()
    }

    fn place(&mut self, id: u64) -> Option<&mut Place> {
        let place = self.places.get_mut(usize::try_from(id & u64::from(u32::MAX)).ok()?)?;
        (u64::from(place.uses) == id >> 32).then_some(place)
    }

    fn leave(&mut self, id: u64) -> Option<State> {
        let place = self.place(id)?;
        let state = std::mem::replace(&mut place.state, State::Free);
        if matches!(state, State::Free) {
            return None;
        }
        place.uses = place.uses.checked_add(1).unwrap_or(1);
        self.free.push(u32::try_from(id & u64::from(u32::MAX)).unwrap_or(u32::MAX));
        Some(state)
    }
}

#[cfg(test)]
mod tests;
