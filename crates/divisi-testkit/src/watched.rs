//! A value that can be waited for, whose watchers are woken in the order in which they began to wait.
//!
//! The runtime's own watch channel wakes its watchers in an order drawn from the machine: one seed would make several
//! histories.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A value with a version that grows at each change.
#[derive(Debug)]
pub struct Watched<T> {
    value: Mutex<(u64, T)>,
    changed: Notify,
}

impl<T> Watched<T> {
    /// A value that has not changed yet.
    pub fn new(value: T) -> Watched<T> {
        Watched { value: Mutex::new((0, value)), changed: Notify::new() }
    }

    /// The value, and its version.
    pub fn look<R>(&self, look: impl FnOnce(&T) -> R) -> (u64, R) {
        let value = self.lock();
        (value.0, look(&value.1))
    }

    /// Changes the value without telling anybody.
    pub fn quietly<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        change(&mut self.lock().1)
    }

    /// Changes the value and wakes whoever waits.
    pub fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let changed = {
            let mut value = self.lock();
            value.0 += 1;
            change(&mut value.1)
        };
        self.changed.notify_waiters();
        changed
    }

    /// Waits until the value is newer than `version`.
    pub async fn newer_than(&self, version: u64) {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Registered before the look, or a change in between would not be seen.
            changed.as_mut().enable();
            if self.lock().0 > version {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, (u64, T)> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
