//! Where partitions ended when something was acknowledged, to notice a log that goes back in time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The highest offset that was acknowledged, by topic and partition.
#[derive(Default)]
pub(super) struct Ends(Mutex<HashMap<(String, i32), i64>>);

impl Ends {
    /// The highest offset that is acknowledged so far.
    pub(super) fn of(&self, topic: &str, partition: i32) -> Option<i64> {
        self.lock().get(&(topic.to_owned(), partition)).copied()
    }

    /// Records that were sent when the partition ended at `end` came to lie at these offsets. If one of them was taken
    /// before, the log has lost what lay there: the words that say so, and nothing of the topic is known any more.
    pub(super) fn reached(
        &self,
        topic: &str,
        partition: i32,
        end: Option<i64>,
        offsets: impl Iterator<Item = i64>,
    ) -> Option<String> {
        // A broker that knows a record already may not know where it lies.
        let (mut lowest, mut highest) = (i64::MAX, None);
        for offset in offsets.filter(|offset| *offset >= 0) {
            lowest = lowest.min(offset);
            highest = highest.max(Some(offset));
        }
        if let Some(end) = end.filter(|end| lowest <= *end) {
            self.forget(topic);
            return Some(format!(
                "a record came to lie at {partition}/{lowest} of `{topic}`, where offsets up to {end} were taken"
            ));
        }
        if let Some(highest) = highest {
            let mut ends = self.lock();
            let end = ends.entry((topic.to_owned(), partition)).or_insert(highest);
            *end = highest.max(*end);
        }
        None
    }

    pub(super) fn forget(&self, topic: &str) {
        self.lock().retain(|(of, _), _| of != topic);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, i32), i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(ends: &Ends, end: Option<i64>, offsets: &[i64]) -> Option<String> {
        ends.reached("sales", 3, end, offsets.iter().copied())
    }

    #[test]
    fn an_offset_that_was_taken_before_shows_that_the_log_went_back() {
        let ends = Ends::default();
        assert_eq!(reached(&ends, ends.of("sales", 3), &[0, 1, 2]), None);
        assert_eq!(ends.of("sales", 3), Some(2));
        let words = reached(&ends, ends.of("sales", 3), &[2, 3]).expect("it went back");
        assert!(words.contains("3/2 of `sales`") && words.contains("up to 2"), "{words}");
        assert_eq!(ends.of("sales", 3), None, "what is known of the topic is void");
    }

    #[test]
    fn two_that_were_sent_at_once_may_be_told_in_any_order() {
        let ends = Ends::default();
        let sent = ends.of("sales", 3);
        assert_eq!(reached(&ends, sent, &[5, 6]), None);
        assert_eq!(reached(&ends, sent, &[3, 4]), None);
        assert_eq!(ends.of("sales", 3), Some(6));
    }

    #[test]
    fn an_offset_that_the_broker_does_not_know_says_nothing() {
        let ends = Ends::default();
        assert_eq!(reached(&ends, None, &[7]), None);
        assert_eq!(reached(&ends, Some(7), &[-1, -1]), None);
    }
}
