//! How far the readers are.
//!
//! Every fetch says how far its reader is. That is noted in memory, and kept every few seconds: retention may learn of
//! progress late, and a reader that is seen behind its true place costs space, never an event.

use std::sync::Arc;
use std::time::Duration;

use divisi_contract::event::LANES;
use divisi_contract::{Answer, CallError, CauseKind, Context};
use divisi_store::reader::{self, Reader};
use divisi_store::{Class, Read, StoreError, Timestamp, Tx, TxFailed};

use super::Log;
use super::told::{ToKeep, Told};
use super::wanted::lanes_make_sense;
use crate::event_log::Progress;

/// How often progress is kept.
pub const KEEP_EVERY: Duration = Duration::from_secs(5);
/// How often a reader that has not moved is noted as seen.
pub const SEEN_EVERY: Duration = Duration::from_secs(60);

impl Log {
    /// Keeps the readers' progress every few seconds, until the log is closed, and once more then. The one task that a
    /// log needs; its owner runs it beside the service. A store that fails is tried again the next time.
    pub async fn run(&self) {
        let mut closed = self.closed.subscribe();
        loop {
            let closed = tokio::time::timeout(KEEP_EVERY, closed.wait_for(|closed| *closed)).await.is_ok();
            if let Err(error) = self.keep().await {
                tracing::warn!(
                    service.name = %self.store.service(),
                    "the progress of readers was not kept: {error}; trying again in {KEEP_EVERY:?}"
                );
            }
            if closed {
                return;
            }
        }
    }

    /// Keeps what the readers have said of their progress.
    pub async fn keep(&self) -> Answer<()> {
        self.keep_of(None).await
    }

    /// Notes how far one of the caller's readers is, and keeps it at once.
    pub async fn progress(&self, cx: &Context, told: Progress) -> Answer<()> {
        if self.tail.topic(&told.topic).is_none() || !self.may_read(cx.caller(), &told.reader, &told.topic) {
            let message = format!(
                "`{}` may not tell the progress of reader `{}` of topic `{}`: it is not a listener, or not its reader",
                cx.caller(),
                told.reader,
                told.topic
            );
            return Err(CallError::not_run(CauseKind::NotAllowed, message));
        }
        lanes_make_sense(&told.lanes)?;
        self.told.note(&told.reader, &told.topic, &told.lanes);
        self.keep_of(Some(&told.reader)).await
    }

    /// Every reader, with how much it has not read, as far as has been kept. One that
    /// [is unseen](Reader::is_unseen) is worth an alarm.
    pub async fn readers(&self) -> Result<Vec<Reader>, StoreError> {
        self.store.read(async |read: &mut Read| reader::readers(read).await).await
    }

    /// The readers that have not been heard of for [`UNSEEN_ALARM`](reader::UNSEEN_ALARM), and when they were last:
    /// retention waits for them until an operator drops them.
    pub async fn unseen(&self) -> Result<Vec<(Arc<str>, Timestamp)>, StoreError> {
        let now = self.store.backend().clock().now();
        let mut unseen = self.readers().await?;
        unseen.retain(|reader| reader.is_unseen(now));
        Ok(unseen.into_iter().map(|reader| (Arc::clone(&reader.name), reader.seen_at())).collect())
    }

    /// Forgets a reader, so that retention no longer waits for it; whether there was one. For operators. One that
    /// fetches again is a reader again, where it then stands.
    pub async fn drop_reader(&self, name: &str) -> Answer<bool> {
        self.told.drop_reader(name);
        let dropped =
            self.store.run(Class::Upkeep, async |tx: &mut Tx| reader::drop_reader(tx, name).await).await;
        dropped.map(|(n_rows, _)| n_rows > 0).map_err(|failed| not_kept(&failed))
    }

    async fn keep_of(&self, only: Option<&str>) -> Answer<()> {
        let mut outcome = Ok(());
        let mut open = Open { told: &self.told, to_keep: self.told.take(only) };
        let mut failed = Vec::new();
        while let Some(next) = open.to_keep.last() {
            let kept = self.store.run(Class::Upkeep, async |tx: &mut Tx| keep(tx, next).await).await;
            let done = open.to_keep.pop();
            if let Err(error) = kept {
                outcome = Err(not_kept(&error));
                failed.extend(done);
            }
        }
        open.to_keep = failed;
        outcome
    }
}

/// What is being kept. What is left of it when it is dropped, because it failed or nobody waited for the end, is noted
/// again.
struct Open<'a> {
    told: &'a Told,
    to_keep: Vec<ToKeep>,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.to_keep.iter().for_each(|to_keep| self.told.not_kept(to_keep));
    }
}

async fn keep(tx: &mut Tx, to_keep: &ToKeep) -> Result<(), StoreError> {
    if to_keep.new {
        // A lane without a row would be one that nobody reads.
        reader::register(tx, &to_keep.reader, &to_keep.topic, LANES).await?;
    }
    if to_keep.moved.is_empty() {
        return reader::seen(tx, &to_keep.reader, &to_keep.topic).await;
    }
    reader::tell(tx, &to_keep.reader, &to_keep.topic, &to_keep.moved).await
}

fn not_kept(failed: &TxFailed<StoreError>) -> CallError {
    match failed {
        TxFailed::Body(error) | TxFailed::DidNotHappen(error) => CallError::NotRun(error.cause()),
        TxFailed::MayHaveHappened(error) => CallError::MayHaveRun(error.cause()),
    }
}
