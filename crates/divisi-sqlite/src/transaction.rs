//! A member of a group: one service transaction, from when it is let in until it is kept or undone.
//!
//! It owns the connection while it runs, so no lock is held across SQL, and whatever way it ends (an answer, an error,
//! a panic, a future that is dropped) the connection goes back.

use std::future::ready;
use std::sync::Arc;

use divisi_store::backend::CommitError;
use divisi_store::{BoxFuture, Draft, Epoch, Position, Row, Session, StoreError, StoreErrorKind, ValueRef};

use crate::group::{Ending, Gate, Left};
use crate::writer::Writer;

/// One member.
pub(crate) struct Member {
    gate: Arc<Gate>,
    /// None once it has been given back.
    writer: Option<Box<Writer>>,
}

impl Member {
    pub(crate) fn new(gate: Arc<Gate>, writer: Box<Writer>) -> Member {
        Member { gate, writer: Some(writer) }
    }

    /// Begins an epoch above `above`, and commits it with the group.
    pub(crate) async fn begin_epoch(mut self, above: Epoch) -> Result<Epoch, StoreError> {
        let now = self.gate.options.clock.now();
        let begun = self.with(|writer| writer.begin_epoch(above, now));
        // Only now: a panic before it must find the writer here, to give it back.
        let Some(mut writer) = self.writer.take() else { return Err(closed()) };
        let left = match &begun {
            Ok(_) => Left::Epoch,
            Err(_) => {
                writer.undo();
                Left::Undone
            }
        };
        match self.gate.leave(writer, left).wait().await {
            Ending::Committed => begun,
            Ending::Undone(error) | Ending::Unknown(error) => Err(error),
        }
    }

    fn with<T>(&mut self, body: impl FnOnce(&mut Writer) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match &mut self.writer {
            Some(writer) => body(writer),
            None => Err(StoreError::new(StoreErrorKind::Closed, "the transaction has ended")),
        }
    }
}

impl Session for Member {
    fn execute<'a>(
        &'a mut self,
        sql: &'a str,
        params: &'a [ValueRef<'a>],
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(ready(self.with(|writer| writer.execute(sql, params))))
    }

    fn query<'a>(
        &'a mut self,
        sql: &'a str,
        params: &'a [ValueRef<'a>],
    ) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        Box::pin(ready(self.with(|writer| writer.query(sql, params))))
    }

    fn savepoint(&mut self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(ready(self.with(Writer::savepoint)))
    }

    fn end_savepoint(&mut self, keep: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(ready(self.with(|writer| writer.end_savepoint(keep))))
    }

    fn is_awaited(&self) -> bool {
        self.gate.is_awaited()
    }

    fn commit(
        mut self: Box<Self>,
        drafts: Vec<Draft>,
    ) -> BoxFuture<'static, Result<Vec<Position>, CommitError>> {
        let gate = Arc::clone(&self.gate);
        let kept = self.with(|writer| gate.keep(writer, drafts));
        // Only now: a panic before it must find the writer here, to give it back.
        let Some(mut writer) = self.writer.take() else {
            return Box::pin(ready(Err(CommitError::DidNotHappen(closed()))));
        };
        match kept {
            Ok((positions, records)) => {
                let ending = self.gate.leave(writer, Left::Kept(records));
                Box::pin(async move {
                    match ending.wait().await {
                        Ending::Committed => Ok(positions),
                        Ending::Undone(error) => Err(CommitError::DidNotHappen(error)),
                        Ending::Unknown(error) => Err(CommitError::MayHaveHappened(error)),
                    }
                })
            }
            Err(error) => {
                writer.undo();
                let ending = self.gate.leave(writer, Left::Undone);
                Box::pin(async move {
                    // What it saw and failed by is answered only when it is durable; a broken group goes first, since
                    // then the failure may be of rows that never were.
                    match ending.wait().await {
                        Ending::Committed => Err(CommitError::DidNotHappen(error)),
                        Ending::Undone(group) | Ending::Unknown(group) => {
                            Err(CommitError::DidNotHappen(group))
                        }
                    }
                })
            }
        }
    }

    fn roll_back(mut self: Box<Self>) -> BoxFuture<'static, Result<(), CommitError>> {
        let Some(mut writer) = self.writer.take() else {
            return Box::pin(ready(Err(CommitError::DidNotHappen(closed()))));
        };
        writer.undo();
        let ending = self.gate.leave(writer, Left::Undone);
        Box::pin(async move {
            match ending.wait().await {
                Ending::Committed => Ok(()),
                Ending::Undone(error) | Ending::Unknown(error) => Err(CommitError::DidNotHappen(error)),
            }
        })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(mut writer) = self.writer.take() {
            writer.undo();
            self.gate.leave(writer, Left::Undone);
        }
    }
}

fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Closed, "the transaction has ended")
}
