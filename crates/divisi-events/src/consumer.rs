//! Feed to inbox to handler, in one transaction.
//!
//! A [`Consumer`] asks its sources for what comes after its watermarks, lane by lane, and applies it in its own store:
//! the effects of an event, the watermark that says so and the events that its handler emits commit together. A second
//! consumer of the same name does no harm: it waits for the watermark's row and then finds the work done.
//!
//! An event that cannot be applied never stops its lane. What it builds on may be missing: its key waits, other keys
//! flow. It may be broken: its key is parked until an operator redrives or drops it. Only when the trouble is not the
//! event's (the database is busy, something else is down) the lane waits and tries again; and when so much fails that
//! it must be the deployment, lanes pause rather than park a whole topic.
//!
//! In order of use: [`options`] (the limits), [`share`] (whose lanes they are), [`status`] (how far it is), [`operator`] (what to do about parked keys).
//! Inside, an input asks and applies; a queue is one lane in hand; a batch is the transaction; the redriver tries
//! parked keys.

pub mod operator;
pub mod options;
pub mod share;
pub mod status;

mod attempt;
mod batch;
mod breaker;
mod carried;
mod entering;
mod input;
mod pace;
mod queue;
mod redrive;
mod trouble;
mod turns;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use divisi_contract::ServiceName;
use divisi_store::inbox::Inbox;
use divisi_store::{Lane, Store, Tx};
use tokio::sync::{Notify, OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;

pub use operator::{Parked, ParkedError};
pub use options::ConsumerOptions;
pub use share::{LaneSet, LeasedLanes, Mine, Share};
pub use status::{ConsumerStatus, Diverged, InputStatus, LaneState, LaneStatus, Observer};

use crate::carrier::Carrier;
use crate::fetch::Feed;
use crate::handler::Handlers;
use input::Input;
use status::Board;
use turns::Turns;

/// Applies the events of some topics in a store, each exactly once and in order per key.
pub struct Consumer {
    name: Arc<str>,
    store: Store,
    handlers: Handlers,
    options: ConsumerOptions,
    inputs: Vec<Wanted>,
    share: Option<Arc<dyn Share>>,
    board: Arc<Board>,
    redrive: Arc<Notify>,
}

/// A topic of a source, and the ways to it.
struct Wanted {
    place: usize,
    source: ServiceName,
    topic: &'static str,
    feed: Arc<dyn Feed>,
    carrier: Option<Arc<dyn Carrier>>,
}

/// How a consumer stood when it had stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// The last status: nothing is under way any more.
    pub status: ConsumerStatus,
}

/// What all parts of a running consumer share.
struct Shared {
    name: Arc<str>,
    store: Store,
    handlers: Handlers,
    options: ConsumerOptions,
    board: Arc<Board>,
    /// A key may be due.
    redrive: Arc<Notify>,
    /// Whether a transaction may wait.
    suspends: bool,
    turns: Turns,
    /// Whether handlers can emit at all.
    emits: bool,
    /// Which lanes are this instance's; all of them where nobody says.
    share: Option<Arc<dyn Share>>,
}

impl Shared {
    /// The turn of a lane, where its transactions could meet.
    async fn turn(&self, inbox: &Inbox, lane: Lane) -> Option<OwnedSemaphorePermit> {
        if self.suspends { self.turns.of(inbox, lane).await } else { None }
    }

    /// How many transactions of an input may be under way.
    fn transactions_max(&self) -> usize {
        let max = self.options.transactions_max.max(1);
        self.store.backend().consumers_max().map_or(max, |most| max.min(most.max(1)))
    }

    /// How much of an input may be in hand.
    fn queue_bytes_max(&self) -> usize {
        let ConsumerOptions { queue_bytes_max, queue_bytes_max_at_a_server, .. } = self.options;
        if self.suspends { queue_bytes_max_at_a_server } else { queue_bytes_max }
    }

    /// How long `tx` may go on.
    fn span_max(&self, tx: &Tx) -> Option<Duration> {
        let ConsumerOptions { batch_work_max, batch_work_max_at_a_server, .. } = self.options;
        let (max, awaited) = if self.suspends {
            (batch_work_max_at_a_server?, options::BATCH_WORK_WHILE_CALLS_WAIT_AT_A_SERVER)
        } else {
            (batch_work_max?, options::BATCH_WORK_WHILE_CALLS_WAIT)
        };
        Some(if tx.is_awaited() { max.min(awaited) } else { max })
    }
}

impl Consumer {
    /// A consumer that applies events by `handlers` in `store`. Its watermarks are kept under `name`: another name
    /// reads from the start.
    pub fn new(name: impl Into<Arc<str>>, store: Store, handlers: Handlers) -> Consumer {
        let name = name.into();
        Consumer {
            board: Arc::new(Board::new(&name)),
            name,
            store,
            handlers,
            options: ConsumerOptions::default(),
            inputs: Vec::new(),
            share: None,
            redrive: Arc::default(),
        }
    }

    /// Reads `topic` of `source` from `feed`.
    #[must_use]
    pub fn from(
        mut self,
        source: impl Into<ServiceName>,
        topic: &'static str,
        feed: Arc<dyn Feed>,
    ) -> Consumer {
        let source = source.into();
        let place = self.board.add(source.clone(), topic);
        self.inputs.push(Wanted { place, source, topic, feed, carrier: None });
        self
    }

    /// Reads the topic that was named last through `carrier`: from there while it brings everything, from the log where
    /// and while it does not. What the carrier does wrong costs time and nothing else.
    #[must_use]
    pub fn via(mut self, carrier: Arc<dyn Carrier>) -> Consumer {
        if let Some(last) = self.inputs.last_mut() {
            last.carrier = Some(carrier);
        }
        self
    }

    /// Applies only the lanes that `share` says are this instance's. Inputs that come through a carrier are not shared.
    #[must_use]
    pub fn share(mut self, share: Arc<dyn Share>) -> Consumer {
        self.share = Some(share);
        self
    }

    /// Replaces the limits.
    #[must_use]
    pub fn options(mut self, options: ConsumerOptions) -> Consumer {
        self.options = options;
        self
    }

    /// Looks at it from outside, also while it runs.
    pub fn observe(&self) -> Observer {
        Observer::new(Arc::clone(&self.board))
    }

    /// Its parked keys, for an operator, also while it runs.
    pub fn parked(&self) -> Parked {
        Parked::of_running(Arc::clone(&self.name), self.store.clone(), Arc::clone(&self.redrive))
    }

    /// Works until `stop` is ready; then the transactions under way end, and nothing begins any more.
    ///
    /// A future that is dropped before leaves nothing half either: transactions that have not committed are undone.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Stopped {
        let board = Arc::clone(&self.board);
        let (say_stop, hear_stop) = watch::channel(false);
        let mut tasks = self.start(&hear_stop);
        tokio::pin!(stop);
        let mut stopping = false;
        loop {
            tokio::select! {
                biased;
                () = &mut stop, if !stopping => {
                    stopping = true;
                    say_stop.send_replace(true);
                }
                ended = tasks.join_next() => match ended {
                    None => break,
                    // An invariant of ours is broken: whoever runs the consumer decides what that means.
                    Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    Some(_) => {}
                },
            }
        }
        Stopped { status: Observer::new(board).status() }
    }

    fn start(self, stop: &watch::Receiver<bool>) -> JoinSet<()> {
        let shared = Arc::new(Shared {
            suspends: self.store.backend().suspends(),
            turns: Turns::default(),
            emits: !self.store.topics().is_empty(),
            name: self.name,
            store: self.store,
            handlers: self.handlers,
            options: self.options,
            board: self.board,
            redrive: self.redrive,
            share: self.share,
        });
        let mut tasks = JoinSet::new();
        let (redriving, redriven) = watch::channel(());
        for Wanted { place, source, topic, feed, carrier } in self.inputs {
            let inbox = Inbox { consumer: Arc::clone(&shared.name), source, topic: Arc::from(topic) };
            let input = Input::new(Arc::clone(&shared), inbox, feed, carrier, place, stop.clone());
            tasks.spawn(input.run(redriven.clone()));
        }
        let redrive = redrive::run(shared, stop.clone());
        tasks.spawn(async move {
            redrive.await;
            drop(redriving);
        });
        tasks
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("name", &self.name)
            .field("handlers", &self.handlers)
            .finish_non_exhaustive()
    }
}
