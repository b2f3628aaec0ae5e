//! How long to wait before something that failed is started again.

use std::time::Duration;

/// Waits that double from the first to the longest, and begin anew once something has run long enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    reset_after: Duration,
    next: Duration,
}

impl Backoff {
    /// From `first`, doubling up to `max`; what ran for `reset_after` starts at `first` again.
    pub fn new(first: Duration, max: Duration, reset_after: Duration) -> Backoff {
        Backoff { first, max, reset_after, next: first }
    }

    /// How long to wait now, after a run that lasted `ran`.
    pub fn after(&mut self, ran: Duration) -> Duration {
        if ran >= self.reset_after {
            self.next = self.first;
        }
        let delay = self.next.min(self.max);
        self.next = delay.saturating_mul(2).min(self.max);
        delay
    }
}

impl Default for Backoff {
    /// 100 ms, so that a single crash is hardly noticed; 5 s, so that one that goes on costs nothing and its end is
    /// noticed at once; anew after 10 s, because what has run that long did not die of its start.
    fn default() -> Backoff {
        Backoff::new(Duration::from_millis(100), Duration::from_secs(5), Duration::from_secs(10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_the_longest_and_begin_anew_after_a_long_run() {
        let mut backoff = Backoff::default();
        let mut after = |seconds| backoff.after(Duration::from_secs(seconds)).as_millis();
        let waits: Vec<u128> = (0..8).map(|_| after(1)).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!([after(10), after(0)], [100, 200]);
    }
}
