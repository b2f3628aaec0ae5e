//! A listener with a store, a source that it listens to, and handlers that do what a test says.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use divisi_contract::Event;
use divisi_store::{
    BoxFuture, Migration, Read, Record, Schema, Store, StoreError, StoreName, Stores, Tx, params,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::faulty::Faulty;
use super::source::Source;
use crate::consumer::options::{Backoff, PauseOptions};
use crate::consumer::{Consumer, ConsumerOptions, ConsumerStatus, Observer, Parked, Stopped};
use crate::handler::{Failure, Handler, Handlers};

/// How long the suite waits for what must happen, before it says that it did not.
pub(super) const PATIENCE: Duration = Duration::from_secs(40);
/// The name of the consumer.
pub(super) const NAME: &str = "suite";
/// The services that it listens to.
pub(super) const COUNTER: &str = "counter";
pub(super) const CAUSER: &str = "causer";

/// Something was counted.
#[divisi_macros::event(topic = "conformance-counted", key = "key", crate = divisi_call)]
pub(super) struct Counted {
    pub(super) key: String,
    pub(super) n: i64,
}

/// Something that nobody handles.
#[divisi_macros::event(topic = "conformance-counted", key = "key", crate = divisi_call)]
pub(super) struct Noise {
    pub(super) key: String,
}

/// What counting may build on, in another topic.
#[divisi_macros::event(topic = "conformance-caused", key = "key", crate = divisi_call)]
pub(super) struct Caused {
    pub(super) key: String,
}

/// What the listener announces for each thing counted.
#[divisi_macros::event(topic = "conformance-echoed", key = "key", crate = divisi_call)]
pub(super) struct Echoed {
    pub(super) key: String,
    pub(super) n: i64,
}

/// What the handler does with events of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    /// Applies them.
    Apply,
    /// Applies them once the cause of the same key has been.
    NeedsCause,
    /// Fails for a while.
    Transient,
    /// Fails for good.
    Permanent,
    /// Fails, who knows why.
    Unclassified,
    /// Panics.
    Panic,
    /// Waits for something other than the database.
    Wait,
    /// Announces more than an event may hold.
    EmitTooMuch,
    /// Sends what the database refuses, and does not wait for what it says.
    Send,
    /// The same, and does not look at what shows at once.
    SendUnheard,
}

/// What the handlers do, by key; applying is what they do else.
#[derive(Default)]
pub(super) struct Script {
    does: Mutex<HashMap<String, Does>>,
    calls: Mutex<BTreeMap<String, u32>>,
}

#[derive(Clone)]
struct Scripted(Arc<Script>);

pub(super) struct Bench {
    pub(super) store: Store,
    pub(super) faults: Arc<Faulty>,
    pub(super) script: Arc<Script>,
    pub(super) counter: Arc<Source>,
    pub(super) causer: Arc<Source>,
    pub(super) options: ConsumerOptions,
}

/// A consumer that runs until it is stopped, or dropped.
pub(super) struct Running {
    pub(super) observer: Observer,
    pub(super) parked: Parked,
    stop: watch::Sender<bool>,
    task: JoinHandle<Stopped>,
}

const TABLES: Migration = Migration::new(
    1,
    "what was counted, without any constraint that could hide a second time",
    "CREATE TABLE effects (id BIGINT NOT NULL, key TEXT NOT NULL, n BIGINT NOT NULL); \
     CREATE INDEX effects_id ON effects (id); CREATE TABLE causes (key TEXT NOT NULL);",
);

/// A row that the table does not take.
const NO_KEY: &str = "INSERT INTO effects (id, key, n) VALUES (0, NULL, 0)";

impl Bench {
    pub(super) async fn new(stores: &dyn Stores, name: &str) -> Bench {
        let schema = Schema { migrations: vec![TABLES], topics: vec![Echoed::TOPIC], ..Schema::default() };
        let store = stores.open(&StoreName::of(name), &schema).await.expect("a store opens");
        let (store, faults) = Faulty::of(&store);
        Bench {
            store,
            faults,
            script: Arc::default(),
            counter: Source::new(COUNTER, Counted::TOPIC),
            causer: Source::new(CAUSER, Caused::TOPIC),
            options: ConsumerOptions {
                backoff: Backoff { min: Duration::from_millis(1), max: Duration::from_millis(20) },
                redrive: Backoff { min: Duration::from_millis(5), max: Duration::from_millis(40) },
                pause: PauseOptions { try_every: Duration::from_millis(20), ..PauseOptions::default() },
                ..ConsumerOptions::default()
            },
        }
    }

    pub(super) fn consumer(&self) -> Consumer {
        let scripted = Scripted(Arc::clone(&self.script));
        let handlers = Handlers::new().react::<Counted, _>(scripted.clone()).react::<Caused, _>(scripted);
        Consumer::new(NAME, self.store.clone(), handlers)
            .from(COUNTER, Counted::TOPIC, Arc::clone(&self.counter) as _)
            .from(CAUSER, Caused::TOPIC, Arc::clone(&self.causer) as _)
            .options(self.options.clone())
    }

    pub(super) fn start(&self) -> Running {
        Running::start(self.consumer())
    }

    pub(super) fn does(&self, key: &str, does: Does) {
        self.script.does.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), does);
    }

    pub(super) fn calls(&self, key: &str) -> u32 {
        let calls = self.script.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.get(key).copied().unwrap_or_default()
    }

    /// Counts the next numbers of a key.
    pub(super) fn count(&self, key: &str, numbers: impl IntoIterator<Item = i64>) {
        for n in numbers {
            self.counter.emit(&Counted { key: key.to_owned(), n });
        }
    }

    pub(super) fn cause(&self, key: &str) {
        self.causer.emit(&Caused { key: key.to_owned() });
    }

    /// What was counted, in the order of effects.
    pub(super) async fn effects(&self) -> Vec<(String, i64)> {
        let rows: Result<_, StoreError> = self
            .store
            .read(async |read: &mut Read| {
                read.query("SELECT key, n FROM effects ORDER BY id", params![]).await
            })
            .await;
        rows.expect("the store can be read")
    }

    /// What was counted of one key, in the order of effects.
    pub(super) async fn effects_of(&self, key: &str) -> Vec<i64> {
        self.effects().await.into_iter().filter(|(other, _)| other == key).map(|(_, n)| n).collect()
    }

    /// What the listener has announced, as soon as it is so much: a service may number it a moment after it has committed.
    pub(super) async fn echoes(&self, n: usize) -> Vec<(String, i64, String)> {
        let sql = "SELECT key, payload, headers FROM divisi_outbox ORDER BY topic, lane, pos";
        let began = tokio::time::Instant::now();
        loop {
            let rows: Result<Vec<(String, Vec<u8>, String)>, StoreError> =
                self.store.read(async |read: &mut Read| read.query(sql, params![]).await).await;
            let rows = rows.expect("the store can be read");
            if rows.len() >= n || began.elapsed() > PATIENCE {
                let echoed = |payload: &[u8]| serde_json::from_slice::<Echoed>(payload).expect("an echo").n;
                return rows
                    .into_iter()
                    .map(|(key, payload, headers)| (key, echoed(&payload), headers))
                    .collect();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the counter's whole log has been read.
    pub(super) async fn quiet(&self, running: &Running) {
        running.until("everything is read", |status| is_at_end(status, &self.counter, Counted::TOPIC)).await;
    }

    /// Whether every event of the counter has exactly one effect, in order per key.
    pub(super) async fn assert_once(&self) {
        let mut expected: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for record in self.counter.records().iter().filter(|record| &*record.kind == Counted::NAME) {
            let counted: Counted = decode(record);
            expected.entry(counted.key).or_default().push(counted.n);
        }
        let mut found: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for (key, n) in self.effects().await {
            found.entry(key).or_default().push(n);
        }
        assert_eq!(found, expected, "each event once, in order per key");
    }
}

/// Whether a consumer has read all of a source.
pub(super) fn is_at_end(status: &ConsumerStatus, source: &Source, topic: &str) -> bool {
    let epoch = source.epoch();
    status.inputs.iter().filter(|input| input.topic == topic).all(|input| {
        input.epoch == epoch
            && source.heads().iter().all(|(lane, head)| {
                input.lanes.get(usize::from(lane.0)).is_some_and(|lane| lane.pos == *head)
            })
    })
}

impl Running {
    pub(super) fn start(consumer: Consumer) -> Running {
        let (stop, mut stopping) = watch::channel(false);
        let (observer, parked) = (consumer.observe(), consumer.parked());
        let task = tokio::spawn(consumer.run(async move {
            let _ = stopping.wait_for(|stop| *stop).await;
        }));
        Running { observer, parked, stop, task }
    }

    pub(super) async fn until(&self, what: &str, wanted: impl FnMut(&ConsumerStatus) -> bool) {
        if tokio::time::timeout(PATIENCE, self.observer.until(wanted)).await.is_err() {
            panic!("{what}: not within {PATIENCE:?}; last seen {:#?}", self.seen().await);
        }
    }

    /// Waits until so many keys wait, are tried again, are dead; and that many events of them are kept.
    pub(super) async fn until_parked(&self, wanted: (i64, i64, i64, i64)) {
        let look = async || {
            let counts = self.parked.counts().await.expect("the store can be read");
            (counts.waiting, counts.retrying, counts.dead, counts.events)
        };
        eventually("keys are parked as wanted", look, |found| *found == wanted).await;
    }

    pub(super) async fn stop(mut self) -> Stopped {
        self.stop.send_replace(true);
        let stopped = tokio::time::timeout(PATIENCE, &mut self.task).await.expect("it stops in time");
        stopped.expect("it does not panic")
    }

    async fn seen(&self) -> impl std::fmt::Debug {
        let status = self.observer.status();
        let lines: Vec<String> = status
            .inputs
            .iter()
            .map(|input| {
                let lanes: Vec<_> =
                    (0..).zip(&input.lanes).filter(|(_, lane)| lane.pos.0 > 0).collect::<Vec<(u16, _)>>();
                format!("{} trouble {:?} ended {:?} lanes {lanes:?}", input.topic, input.trouble, input.ended)
            })
            .collect();
        (lines, self.parked.list(10).await)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Looks until what is found is as wanted; says what it saw last if it never is.
pub(super) async fn eventually<T: std::fmt::Debug>(
    what: &str,
    mut look: impl AsyncFnMut() -> T,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        let found = look().await;
        if wanted(&found) {
            return found;
        }
        assert!(tokio::time::Instant::now() < until, "{what}: not within {PATIENCE:?}; last seen {found:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

impl<'a> Handler<'a, Tx, Counted> for Scripted {
    type Working = BoxFuture<'a, Result<(), Failure>>;

    fn handle(&self, tx: &'a mut Tx, event: &'a Counted) -> Self::Working {
        *self.0.calls.lock().unwrap_or_else(PoisonError::into_inner).entry(event.key.clone()).or_default() +=
            1;
        let does = self.0.does.lock().unwrap_or_else(PoisonError::into_inner).get(&event.key).copied();
        Box::pin(count(tx, event, does.unwrap_or(Does::Apply)))
    }
}

impl<'a> Handler<'a, Tx, Caused> for Scripted {
    type Working = BoxFuture<'a, Result<(), Failure>>;

    fn handle(&self, tx: &'a mut Tx, event: &'a Caused) -> Self::Working {
        Box::pin(async move {
            tx.send("INSERT INTO causes (key) VALUES ($1)", params![event.key]).await?;
            Ok(())
        })
    }
}

async fn count(tx: &mut Tx, event: &Counted, does: Does) -> Result<(), Failure> {
    // The effect comes before the failure, so that a failure that is not undone shows.
    let sql = "INSERT INTO effects (id, key, n) \
               SELECT coalesce(max(id), 0) + 1, CAST($1 AS text), CAST($2 AS bigint) FROM effects";
    if event.n % 2 == 0 {
        tx.execute(sql, params![event.key, event.n]).await?;
    } else {
        tx.send(sql, params![event.key, event.n]).await?;
    }
    tx.emit(Echoed { key: event.key.clone(), n: event.n });
    match does {
        Does::Apply => Ok(()),
        Does::NeedsCause => {
            let sql = "SELECT count(*) FROM causes WHERE key = $1";
            let (n,): (i64,) = tx.query_one(sql, params![event.key]).await?;
            if n > 0 { Ok(()) } else { Err(Failure::not_yet::<Caused>(event.key.clone())) }
        }
        Does::Transient => Err(Failure::transient("the other side is busy")),
        Does::Permanent => Err(Failure::permanent("a rule is broken")),
        Does::Unclassified => Err(Failure::Unclassified("who knows".to_owned())),
        Does::Panic => panic!("a mistake in a handler"),
        Does::Wait => {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            Ok(())
        }
        Does::EmitTooMuch => {
            tx.emit(Echoed { key: "x".repeat(300 * 1024), n: 0 });
            Ok(())
        }
        Does::Send => Ok(tx.send(NO_KEY, params![]).await?),
        Does::SendUnheard => {
            let _unheard = tx.send(NO_KEY, params![]).await;
            Ok(())
        }
    }
}

fn decode(record: &Record) -> Counted {
    record.decode().expect("the suite's own event")
}
