//! The outcomes of records that were sent together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::Notify;

use super::Placed;

type Outcome = Result<Placed, RDKafkaErrorCode>;

/// Records that were sent together.
pub(super) struct Batch {
    outcomes: Mutex<Outcomes>,
    done: Notify,
}

struct Outcomes {
    known: Vec<Option<Outcome>>,
    n_unknown: usize,
}

/// What the client hands back with the report about one record. One that is lost counts as a failure.
pub(super) struct Receipt {
    batch: Arc<Batch>,
    n: usize,
}

impl Batch {
    pub(super) fn new(n_records: usize) -> Arc<Batch> {
        let outcomes = Outcomes { known: vec![None; n_records], n_unknown: n_records };
        Arc::new(Batch { outcomes: Mutex::new(outcomes), done: Notify::new() })
    }

    /// Waits until every outcome is known.
    pub(super) async fn done(&self) {
        loop {
            // The permit of a wake-up that comes in between is kept.
            if self.lock().n_unknown == 0 {
                return;
            }
            self.done.notified().await;
        }
    }

    /// What is not known of the records from the `first` on is a failure.
    pub(super) fn give_up_from(&self, first: usize, code: RDKafkaErrorCode) {
        let n_records = self.lock().known.len();
        (first..n_records).for_each(|n| self.settle(n, Err(code)));
    }

    /// One outcome a record; what is not known is a failure.
    pub(super) fn outcomes(&self) -> Vec<Outcome> {
        let outcomes = self.lock();
        outcomes.known.iter().map(|known| known.unwrap_or(Err(RDKafkaErrorCode::Fail))).collect()
    }

    /// The first outcome counts.
    fn settle(&self, n: usize, outcome: Outcome) {
        let mut outcomes = self.lock();
        let Some(unknown @ None) = outcomes.known.get_mut(n) else { return };
        *unknown = Some(outcome);
        outcomes.n_unknown -= 1;
        if outcomes.n_unknown == 0 {
            self.done.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Outcomes> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receipt {
    pub(super) fn new(batch: Arc<Batch>, n: usize) -> Receipt {
        Receipt { batch, n }
    }

    pub(super) fn settle(&self, outcome: Outcome) {
        self.batch.settle(self.n, outcome);
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.settle(Err(RDKafkaErrorCode::PurgeQueue));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_record_has_an_outcome_and_the_first_one_counts() {
        let batch = Batch::new(3);
        let receipts: Vec<_> = (0..3).map(|n| Receipt::new(Arc::clone(&batch), n)).collect();
        receipts[2].settle(Ok((0, 9)));
        receipts[2].settle(Err(RDKafkaErrorCode::QueueFull));
        receipts[0].settle(Ok((0, 7)));
        drop(receipts);
        batch.done().await;
        assert_eq!(batch.outcomes(), [Ok((0, 7)), Err(RDKafkaErrorCode::PurgeQueue), Ok((0, 9))]);
    }

    #[tokio::test]
    async fn nothing_is_waited_for_after_giving_up_and_nothing_in_an_empty_batch() {
        let batch = Batch::new(2);
        batch.give_up_from(1, RDKafkaErrorCode::QueueFull);
        batch.give_up_from(0, RDKafkaErrorCode::MessageTimedOut);
        batch.done().await;
        assert_eq!(
            batch.outcomes(),
            [Err(RDKafkaErrorCode::MessageTimedOut), Err(RDKafkaErrorCode::QueueFull)]
        );
        Batch::new(0).done().await;
    }
}
