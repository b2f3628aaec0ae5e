//! Those who wait at the gate, in the order in which they came: calls, and behind them consumers.

use std::collections::BTreeMap;
use std::task::Waker;

use divisi_store::Class;

/// Two queues, and who was woken for the present group and has not come.
#[derive(Default)]
pub(crate) struct Waiting {
    next_ticket: u64,
    calls: Queue,
    consumers: Queue,
}

#[derive(Default)]
struct Queue {
    /// Refused, with the waker that they left. A ticket is a place: who is refused again keeps it.
    asleep: BTreeMap<u64, Waker>,
    /// Woken and not come yet, each with the group it was woken for.
    woken: BTreeMap<u64, u64>,
    /// How many of `woken` count for the present group.
    expected: usize,
    /// How many of `woken` were woken for the group before and have not come yet.
    late: usize,
}

impl Waiting {
    /// A place in the queue.
    pub(crate) fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    /// Leaves `waker` at the place of `ticket`.
    pub(crate) fn sleep(&mut self, class: Class, ticket: u64, waker: Waker) {
        self.queue(class).asleep.insert(ticket, waker);
    }

    /// The holder of `ticket` came, or went for good.
    pub(crate) fn leave(&mut self, class: Class, ticket: u64, group: u64) {
        let queue = self.queue(class);
        queue.asleep.remove(&ticket);
        match queue.woken.remove(&ticket) {
            Some(woken) if woken == group => queue.expected -= 1,
            Some(woken) if woken + 1 == group => queue.late -= 1,
            _ => {}
        }
    }

    /// Whether a call waits that has not been let in. One that was woken and does not come counts for one group more:
    /// its thread may be busy with the very consumers that it goes before. After that it holds up nobody.
    pub(crate) fn has_calls(&self) -> bool {
        !self.calls.asleep.is_empty() || self.calls.expected + self.calls.late > 0
    }

    /// How many wait in all, those who were woken and have not come among them.
    pub(crate) fn count(&self) -> usize {
        [&self.calls, &self.consumers].iter().map(|queue| queue.asleep.len() + queue.woken.len()).sum()
    }

    /// Whether consumers wait.
    pub(crate) fn has_consumers(&self) -> bool {
        !self.consumers.asleep.is_empty()
    }

    /// How many were woken for this group and have not come.
    pub(crate) fn expected(&self) -> usize {
        self.calls.expected + self.consumers.expected
    }

    /// How many calls of them.
    pub(crate) fn expected_calls(&self) -> usize {
        self.calls.expected
    }

    /// Wakes the call that has waited longest.
    pub(crate) fn wake_call(&mut self, group: u64) -> Option<Waker> {
        self.calls.wake(group)
    }

    /// Wakes the consumer that has waited longest.
    pub(crate) fn wake_consumer(&mut self, group: u64) -> Option<Waker> {
        self.consumers.wake(group)
    }

    /// Wakes all calls and one consumer, unless one is on the way.
    pub(crate) fn wake(&mut self, group: u64) -> Vec<Waker> {
        let mut wakers: Vec<Waker> = std::iter::from_fn(|| self.calls.wake(group)).collect();
        if self.consumers.expected == 0 {
            wakers.extend(self.consumers.wake(group));
        }
        wakers
    }

    /// A group closes: who has not come for it is not waited for again.
    pub(crate) fn next_group(&mut self) {
        for queue in [&mut self.calls, &mut self.consumers] {
            queue.late = std::mem::take(&mut queue.expected);
        }
    }

    fn queue(&mut self, class: Class) -> &mut Queue {
        match class {
            Class::Call => &mut self.calls,
            Class::Consumer | Class::Upkeep => &mut self.consumers,
        }
    }
}

impl Queue {
    fn wake(&mut self, group: u64) -> Option<Waker> {
        let (ticket, waker) = self.asleep.pop_first()?;
        self.woken.insert(ticket, group);
        self.expected += 1;
        Some(waker)
    }
}
