//! A store that fails where a test says so.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use divisi_store::backend::{CommitError, Question, TwoAnswers};
use divisi_store::outbox::{Page, PageWanted};
use divisi_store::{
    Activity, Backend, BoxFuture, Class, Clock, Committed, Dialect, Draft, Epoch, Position, Row, Session,
    Store, StoreError, StoreErrorKind, ValueRef,
};

/// Where the next transaction of a consumer breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// It does not begin.
    Begin,
    /// It is undone at its end, and that is known.
    Commit,
    /// It is undone at its end, and that is not known.
    LostBefore,
    /// It is committed, and that is not known.
    LostAfter,
}

/// A back end that breaks transactions of consumers.
pub(super) struct Faulty {
    inner: Arc<dyn Backend>,
    cuts: Mutex<VecDeque<Cut>>,
    down: AtomicBool,
    /// Transactions of consumers that were begun.
    begun: AtomicU64,
}

struct Breaking {
    inner: Box<dyn Session>,
    cut: Option<Cut>,
}

impl Faulty {
    /// The same store, which can be made to fail.
    pub(super) fn of(store: &Store) -> (Store, Arc<Faulty>) {
        let faulty = Arc::new(Faulty {
            inner: Arc::clone(store.backend()),
            cuts: Mutex::default(),
            down: AtomicBool::new(false),
            begun: AtomicU64::new(0),
        });
        let backend: Arc<dyn Backend> = Arc::clone(&faulty) as _;
        (Store::new(backend, store.service().clone(), store.topics().into()), faulty)
    }

    /// Breaks the next transactions so, one after the other.
    pub(super) fn cut(&self, cuts: &[Cut]) {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner).extend(cuts);
    }

    /// Whether all cuts have been made.
    pub(super) fn is_spent(&self) -> bool {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// How many transactions of consumers were begun.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Relaxed)
    }

    /// Takes the database down, or up again.
    pub(super) fn set_down(&self, down: bool) {
        self.down.store(down, Relaxed);
    }
}

impl Backend for Faulty {
    fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }

    fn suspends(&self) -> bool {
        self.inner.suspends()
    }

    fn consumers_max(&self) -> Option<usize> {
        self.inner.consumers_max()
    }

    fn one_owner(&self) -> bool {
        self.inner.one_owner()
    }

    fn clock(&self) -> Clock {
        self.inner.clock()
    }

    fn begin(&self, class: Class) -> BoxFuture<'_, Result<Box<dyn Session>, StoreError>> {
        Box::pin(async move {
            if self.down.load(Relaxed) {
                return Err(broken());
            }
            let cut = match class {
                Class::Consumer | Class::Upkeep => {
                    self.cuts.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
                }
                Class::Call => None,
            };
            if cut == Some(Cut::Begin) {
                return Err(broken());
            }
            let inner = self.inner.begin(class).await?;
            if matches!(class, Class::Consumer | Class::Upkeep) {
                self.begun.fetch_add(1, Relaxed);
            }
            Ok(Box::new(Breaking { inner, cut }) as Box<dyn Session>)
        })
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn Session>, StoreError>> {
        match self.down.load(Relaxed) {
            true => Box::pin(async { Err(broken()) }),
            false => self.inner.snapshot(),
        }
    }

    fn page(&self, wanted: PageWanted) -> BoxFuture<'_, Result<Page, StoreError>> {
        self.inner.page(wanted)
    }

    fn begin_epoch(&self, above: Epoch) -> BoxFuture<'_, Result<Epoch, StoreError>> {
        self.inner.begin_epoch(above)
    }

    fn listen(&self, listener: Arc<dyn Committed>) {
        self.inner.listen(listener);
    }

    fn activity(&self) -> BoxFuture<'_, Activity> {
        self.inner.activity()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}

impl Session for Breaking {
    fn is_awaited(&self) -> bool {
        self.inner.is_awaited()
    }

    fn execute<'a>(
        &'a mut self,
        sql: &'a str,
        params: &'a [ValueRef<'a>],
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        self.inner.execute(sql, params)
    }

    fn query<'a>(
        &'a mut self,
        sql: &'a str,
        params: &'a [ValueRef<'a>],
    ) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        self.inner.query(sql, params)
    }

    fn query_two<'a>(
        &'a mut self,
        first: Question<'a>,
        second: Question<'a>,
    ) -> BoxFuture<'a, Result<TwoAnswers, StoreError>> {
        self.inner.query_two(first, second)
    }

    fn send<'a>(
        &'a mut self,
        sql: &'a str,
        params: &'a [ValueRef<'a>],
        one_row: bool,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.inner.send(sql, params, one_row)
    }

    fn savepoint(&mut self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.savepoint()
    }

    fn end_savepoint(&mut self, keep: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.end_savepoint(keep)
    }

    fn commit(self: Box<Self>, drafts: Vec<Draft>) -> BoxFuture<'static, Result<Vec<Position>, CommitError>> {
        Box::pin(async move {
            match self.cut {
                None | Some(Cut::Begin) => self.inner.commit(drafts).await,
                Some(Cut::LostAfter) => {
                    self.inner.commit(drafts).await?;
                    Err(CommitError::MayHaveHappened(broken()))
                }
                Some(cut) => {
                    self.inner.roll_back().await?;
                    Err(match cut {
                        Cut::LostBefore => CommitError::MayHaveHappened(broken()),
                        _ => CommitError::DidNotHappen(broken()),
                    })
                }
            }
        })
    }

    fn roll_back(self: Box<Self>) -> BoxFuture<'static, Result<(), CommitError>> {
        self.inner.roll_back()
    }
}

fn broken() -> StoreError {
    StoreError::new(StoreErrorKind::Busy, "the database is not reachable")
}
