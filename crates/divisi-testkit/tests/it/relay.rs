//! How much a relay publishes at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use divisi_contract::event::LANES;
use divisi_contract::{Answer, CallError, CauseKind, Context, ServiceName};
use divisi_events::fetch::{FetchRefused, RECORDS_MAX};
use divisi_events::relay::{Granted, Relay};
use divisi_events::{Carrier, Feed, Fetch, Fetched, Listeners, Log, LogOptions};
use divisi_sqlite::{Options, Sqlite};
use divisi_store::conformance::account::{Moved, cx, schema};
use divisi_store::{BoxFuture, Epoch, Lane, Pos, Store, StoreName, Stores, Tx, params};
use divisi_testkit::{Faults, MemoryCarrier};
use tempfile::TempDir;

/// More than one answer of the log has, and fewer than go at once.
const EVENTS: usize = RECORDS_MAX as usize * 3;

/// What happens to the log between two answers of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Between {
    Nothing,
    /// An epoch begins.
    Epoch,
    /// Retention removes what the relay asks for next.
    Floor,
    /// The log does not answer.
    Error,
}

/// A log to which something happens before its second answer.
struct Changing {
    log: Mutex<Arc<Log>>,
    store: Store,
    what: Mutex<Between>,
    n_answers: AtomicUsize,
    /// How many records retention has removed.
    n_removed: AtomicUsize,
}

impl Feed for Changing {
    fn fetch<'a>(&'a self, cx: &'a Context, want: Fetch) -> BoxFuture<'a, Answer<Fetched, FetchRefused>> {
        Box::pin(async move {
            let is_second = want.max_records > 0 && self.n_answers.fetch_add(1, Ordering::SeqCst) == 1;
            let what = if is_second {
                std::mem::replace(&mut *self.what.lock().expect("no panic"), Between::Nothing)
            } else {
                Between::Nothing
            };
            match what {
                Between::Nothing => {}
                Between::Epoch => {
                    self.store.backend().begin_epoch(Epoch(0)).await.expect("an epoch begins");
                }
                Between::Floor => {
                    let behind = want.lanes.iter().min_by_key(|wanted| wanted.pos).expect("a lane");
                    let floor = Pos(behind.pos.0 + 3);
                    remove(&self.store, behind.lane, floor).await;
                    self.n_removed.store(floor.0 as usize, Ordering::SeqCst);
                    *self.log.lock().expect("no panic") = log(&self.store);
                }
                Between::Error => return Err(CallError::not_run(CauseKind::Unreachable, "the log is away")),
            }
            let log = Arc::clone(&self.log.lock().expect("no panic"));
            log.fetch(cx, want).await
        })
    }
}

/// A log that has nothing in memory.
fn log(store: &Store) -> Arc<Log> {
    Log::new(store.clone(), Listeners::none(), LogOptions::default())
}

/// Removes a lane up to a position, as retention does for what every reader has.
async fn remove(store: &Store, lane: Lane, up_to: Pos) {
    let removed: Result<(), CallError> = store
        .transact(&cx(), async |tx: &mut Tx| {
            tx.execute("DELETE FROM divisi_outbox WHERE lane = $1 AND pos <= $2", params![lane, up_to])
                .await?;
            tx.execute("UPDATE divisi_lane SET floor_pos = $2 WHERE lane = $1", params![lane, up_to]).await?;
            Ok(())
        })
        .await;
    removed.expect("it commits");
}

/// A bank, a relay of its topic, and the carrier.
struct Relaying {
    store: Store,
    feed: Arc<Changing>,
    carrier: MemoryCarrier,
    relay: Relay,
    token: u64,
    _place: TempDir,
}

impl Relaying {
    async fn start() -> Relaying {
        let place = tempfile::tempdir().expect("a directory");
        let stores = Sqlite::new(place.path(), Options::default());
        let store = stores.open(&StoreName::of("bank"), &schema()).await.expect("it opens");
        let carrier = MemoryCarrier::new(Faults::NONE, 1);
        let feed = Arc::new(Changing {
            log: Mutex::new(log(&store)),
            store: store.clone(),
            what: Mutex::new(Between::Nothing),
            n_answers: AtomicUsize::new(0),
            n_removed: AtomicUsize::new(0),
        });
        let by = Arc::new(carrier.clone()) as Arc<dyn Carrier>;
        let lease = Arc::new(Granted::new(store.clone()));
        let lanes = (0..LANES).map(Lane);
        let mut relay = Relay::new(store.clone(), "accounts", lanes, Arc::clone(&feed) as _, by, lease);
        let token = relay.take_lease().await.expect("the database answers").expect("nobody else leads");
        relay.start().await.expect("it finds its places");
        Relaying { store, feed, carrier, relay, token, _place: place }
    }

    async fn deposit(&self, n: usize) {
        let done: Result<(), CallError> = self
            .store
            .transact(&cx(), async |tx: &mut Tx| {
                (0..n).for_each(|n| tx.emit(Moved { account: format!("account {n}"), balance: 1 }));
                Ok(())
            })
            .await;
        done.expect("it commits");
    }

    /// How many a step publishes, and whether something failed.
    async fn step(&mut self) -> (usize, bool) {
        self.feed.n_answers.store(0, Ordering::SeqCst);
        let stepped = self.relay.step(self.token, Duration::ZERO).await.expect("the log answers");
        (stepped.published, stepped.failed.is_some())
    }

    /// What the carrier holds of each lane.
    fn held(&self) -> Vec<(Lane, Vec<Pos>)> {
        let source = ServiceName::from("bank");
        let of =
            |lane| self.carrier.holds(&source, "accounts", lane).iter().map(|record| record.pos).collect();
        (0..LANES).map(|lane| (Lane(lane), of(Lane(lane)))).collect()
    }
}

/// All that there is goes in one step, in order; after a failure no more than one answer does, until something gets through.
#[tokio::test]
async fn several_answers_of_the_log_go_at_once_until_something_fails() {
    let mut relaying = Relaying::start().await;
    relaying.deposit(EVENTS).await;
    assert_eq!(relaying.step().await, (EVENTS, false), "in one step");
    relaying.deposit(EVENTS).await;
    relaying.carrier.die();
    assert_eq!(relaying.step().await, (0, true));
    relaying.carrier.revive();
    assert_eq!(relaying.step().await, (RECORDS_MAX as usize, false), "one answer");
    assert_eq!(relaying.step().await, (EVENTS - RECORDS_MAX as usize, false), "and all the others");
    for (lane, held) in relaying.held() {
        assert!(held.iter().copied().eq((1..=held.len() as i64).map(Pos)), "lane {lane}");
    }
}

/// Whatever happens to the log between two answers of one step: each lane goes on where it was, or at the floor, without a hole and in order.
#[tokio::test]
async fn what_happens_between_two_answers_leaves_no_hole() {
    for what in [Between::Epoch, Between::Floor, Between::Error] {
        let mut relaying = Relaying::start().await;
        relaying.deposit(EVENTS).await;
        *relaying.feed.what.lock().expect("no panic") = what;
        let (first, failed) = relaying.step().await;
        assert!(!failed, "{what:?}");
        assert_eq!(
            *relaying.feed.what.lock().expect("no panic"),
            Between::Nothing,
            "so that the test can fail"
        );
        // What it has in hand is published, unless the lanes have to be looked at anew.
        assert_eq!(first, if what == Between::Error { RECORDS_MAX as usize } else { 0 }, "{what:?}");
        let (mut published, mut last) = (first, first);
        loop {
            let (n, failed) = relaying.step().await;
            assert!(!failed, "{what:?}");
            published += n;
            if n == 0 && last == 0 {
                break;
            }
            last = n;
        }
        let mut n_held = 0;
        for (lane, held) in relaying.held() {
            let from = held.first().map_or(0, |first| first.0);
            assert!(from <= 1 || what == Between::Floor, "{what:?}, lane {lane} begins at {from}");
            assert!(
                held.iter().copied().eq((from..).map(Pos).take(held.len())),
                "{what:?}, lane {lane}: {held:?}"
            );
            n_held += held.len();
        }
        assert_eq!(n_held, published, "{what:?}");
        let n_removed = relaying.feed.n_removed.load(Ordering::SeqCst);
        assert_eq!(n_removed > 0, what == Between::Floor);
        assert_eq!(n_held + n_removed, EVENTS, "{what:?}");
    }
}
