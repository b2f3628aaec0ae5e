//! Leases of a piece of work, by the database's clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use divisi_contract::ServiceName;
use divisi_contract::event::LANES;
use divisi_events::carrier::{Arrivals, Carrier, CarrierError, Head, Hint, PublishError};
use divisi_events::relay::{Lease, Leased, Relay};
use divisi_events::{Listeners, Log, LogOptions};
use divisi_postgres::{Postgres, Urls};
use divisi_store::conformance::account::{self, deposit};
use divisi_store::{
    BoxFuture, Class, Epochs, Lane, Pos, Read, Record, Store, StoreError, StoreName, Tx, TxFailed, lease,
    params,
};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::fixture::{databases, eventually, options, server_of_its_own};
use crate::proxy::Proxy;

const LONG: Duration = Duration::from_secs(60);

async fn take(store: &Store, owner: &str, ttl: Duration) -> Option<u64> {
    take_for(store, "relay/x", owner, ttl).await
}

/// For a long time.
async fn take_of(store: &Store, name: &str, owner: &str) -> Option<u64> {
    take_for(store, name, owner, LONG).await
}

async fn take_for(store: &Store, name: &str, owner: &str, ttl: Duration) -> Option<u64> {
    let taken: Result<_, TxFailed<StoreError>> =
        store.run(Class::Consumer, async |tx: &mut Tx| lease::take(tx, name, owner, ttl).await).await;
    taken.expect("the database answers").0
}

async fn holds(store: &Store, owner: &str, token: u64) -> bool {
    let held: Result<bool, StoreError> =
        store.read(async |read: &mut Read| lease::holds(read, "relay/x", owner, token).await).await;
    held.expect("the database answers")
}

#[tokio::test]
async fn one_holds_it_and_each_change_raises_the_token() {
    let databases = databases().await;
    let (store, _) = databases.bank().await;
    let (other, _) = databases.bank().await;
    let first = take(&store, "a", LONG).await.expect("it is free");
    assert_eq!(take(&other, "b", LONG).await, None, "somebody else has it");
    assert_eq!(take(&store, "a", LONG).await, Some(first), "renewed under the same token");
    assert!(holds(&other, "a", first).await && !holds(&other, "b", first).await);
    let released: Result<_, TxFailed<StoreError>> = store
        .run(Class::Consumer, async |tx: &mut Tx| {
            assert!(!lease::release(tx, "relay/x", "b").await?, "not by somebody else");
            lease::release(tx, "relay/x", "a").await
        })
        .await;
    assert!(released.expect("the database answers").0);
    assert!(!holds(&store, "a", first).await);
    let second = take(&other, "b", Duration::from_millis(100)).await.expect("it is free again");
    assert!(second > first);
    // Its time runs out by itself; meanwhile nobody else gets it.
    let third = eventually("its time is over", async || take(&store, "a", LONG).await, Option::is_some).await;
    assert!(third > Some(second));
    assert!(!holds(&other, "b", second).await, "a zombie is told so");
    assert_eq!(take(&other, "b", LONG).await, None);
    let held: Result<_, StoreError> =
        store.read(async |read: &mut Read| lease::held(read, "relay/", LONG).await).await;
    assert_eq!(held.expect("the database answers"), [("relay/x".to_owned(), "a".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_ask_at_once_one_gets_it() {
    let databases = databases().await;
    let (store, _) = databases.bank().await;
    for round in 0..5 {
        let mut asking = JoinSet::new();
        for n in 0..8 {
            let store = store.clone();
            asking.spawn(async move {
                let name = format!("work/{round}");
                let taken: Result<_, TxFailed<StoreError>> = store
                    .run(Class::Call, async |tx: &mut Tx| {
                        lease::take(tx, &name, &format!("i{n}"), LONG).await
                    })
                    .await;
                taken.expect("the database answers").0
            });
        }
        let granted = asking.join_all().await.into_iter().flatten().count();
        assert_eq!(granted, 1, "round {round}");
    }
}

/// The relay's lease: what keeps its cursor is fenced by it.
#[tokio::test]
async fn a_relays_lease_is_a_row_of_its_database() {
    let databases = databases().await;
    let (store, _) = databases.bank().await;
    let first = Leased::new(store.clone(), "a").ttl(Duration::from_millis(200));
    let second = Leased::new(store.clone(), "b");
    let token = first.take("relay/x").await.expect("an answer").expect("it is free");
    assert_eq!(second.take("relay/x").await.expect("an answer"), None);
    let later = eventually(
        "its time is over",
        async || second.take("relay/x").await.expect("an answer"),
        Option::is_some,
    )
    .await
    .expect("a token");
    assert!(later > token);
    let fenced: Result<_, TxFailed<StoreError>> = store
        .run(Class::Consumer, async |tx: &mut Tx| {
            Ok((first.holds(tx, "relay/x", token).await?, second.holds(tx, "relay/x", later).await?))
        })
        .await;
    assert_eq!(fenced.expect("the database answers").0, (false, true));
}

/// The lease of a process that has died is free when the server has noticed, though its time is long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_of_a_process_that_is_gone_is_free_before_its_time() {
    let databases = databases().await;
    let (alive, _) = databases.bank().await;
    let (dies, _) = databases.bank().await;
    let owner = |store: &Store| store.backend().lease_owner().expect("several may have it open");
    assert_ne!(owner(&alive), owner(&dies));
    let watched = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND application_name LIKE 'divisi watch %'",
        databases.database("bank")
    );
    let look = async || databases.server.sql(watched.clone()).await.expect("a look").trim().to_owned();
    eventually("both watch", look, |n| n == "2").await;
    let first = take(&dies, &owner(&dies), LONG).await.expect("it is free");
    assert_eq!(take(&alive, &owner(&alive), LONG).await, None, "who holds it is there");
    assert_eq!(take(&dies, &owner(&dies), LONG).await, Some(first));
    let gone = owner(&dies);
    dies.close().await;
    let taken = eventually("it is free", async || take(&alive, &owner(&alive), LONG).await, Option::is_some);
    assert!(taken.await > Some(first), "under a higher token");
    assert!(!holds(&alive, &gone, first).await);
    // Who renews in time is never called gone: the session of its watch may have to be made anew.
    let unseen = lease::owner_by_session("0123456789abcdef");
    let held = take_of(&alive, "relay/z", &unseen).await;
    let taken_at = Instant::now();
    let taken = async || take_of(&alive, "relay/z", &owner(&alive)).await;
    assert!(eventually("not renewed", taken, Option::is_some).await > held);
    assert!(taken_at.elapsed() >= lease::RENEWED_WITHIN / 2, "{:?}", taken_at.elapsed());
    // One that says nothing of a session is believed until its time is over.
    assert!(take_of(&alive, "relay/y", "somebody").await.is_some());
    assert_eq!(take_of(&alive, "relay/y", &owner(&alive)).await, None);
}

/// Before something is removed it is not enough that nobody sees who needs it: a session may be made anew, and while the server did not
/// run nobody could renew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_still_be_held_is_told_from_what_is_held() {
    let databases = server_of_its_own().await;
    let (store, _) = databases.bank().await;
    let held_of = async |store: &Store, ttl: Duration| -> (bool, bool) {
        let asked: Result<_, StoreError> = store
            .read(async |read: &mut Read| {
                let held = lease::is_held_by_others(read, "reads/", ttl, "me").await?;
                Ok((held, lease::may_be_held_by_others(read, "reads/", ttl, "me").await?))
            })
            .await;
        asked.expect("the database answers")
    };
    let held = async |store: &Store| held_of(store, LONG).await;
    assert_eq!(held(&store).await, (false, false));
    take_of(&store, "reads/mine", "me").await.expect("it is free");
    assert_eq!(held(&store).await, (false, false));
    take_of(&store, "reads/theirs", &lease::owner_by_session("0123456789abcdef")).await.expect("it is free");
    eventually("its session is nowhere", async || held(&store).await, |held| *held == (false, true)).await;
    // It ran out before the server was started, however long before.
    databases.server.kill().await.expect("it is killed");
    databases.server.start().await.expect("it starts");
    let (store, _) = databases.bank().await;
    let before = "UPDATE divisi_lease SET expires_at = 1 WHERE name = 'reads/theirs'";
    databases.server.sql_in(&databases.database("bank"), before).await.expect("it is written");
    assert_eq!(held(&store).await, (false, true));
    let forgotten: Result<_, TxFailed<StoreError>> =
        store.run(Class::Consumer, async |tx: &mut Tx| lease::forget(tx, "reads/").await).await;
    assert_eq!(forgotten.expect("the database answers").0, 0, "it may be renewed yet");
    let later = held_of(&store, Duration::from_millis(1)).await;
    assert_eq!(later, (false, false), "longer after the start than two spans of such a lease");
    store.close().await;
}

/// A relay that stops leaves its place and how far it is to the next one; one that dies keeps it waiting for the lease's time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_stops_gives_its_lease_and_its_cursor_to_the_next() {
    let databases = databases().await;
    let (store, _) = databases.bank().await;
    let log = Log::new(store.clone(), Listeners::none(), LogOptions::default());
    let relay = |owner: &str, carrier: &Arc<Swallows>| {
        let lease = Arc::new(Leased::new(store.clone(), owner).ttl(LONG));
        let (feed, carrier) = (Arc::clone(&log) as _, Arc::clone(carrier) as _);
        Relay::new(store.clone(), "accounts", (0..LANES).map(Lane), feed, carrier, lease)
    };
    let name = format!("{}/accounts", Relay::reader_name("swallows"));
    let led_by = async || {
        let held: Result<_, StoreError> =
            store.read(async |read: &mut Read| lease::held(read, &name, LONG).await).await;
        held.expect("the database answers").into_iter().map(|(_, owner)| owner).next()
    };
    let kept = async || {
        let sql = "SELECT coalesce(max(pos), 0) FROM divisi_reader WHERE reader = 'relay:swallows'";
        let kept: Result<(i64,), StoreError> =
            store.read(async |read: &mut Read| read.query_one(sql, params![]).await).await;
        kept.expect("the database answers").0
    };
    // It runs until it is told to stop, and what it says of itself is looked at then.
    let run = |owner: &'static str, carrier: &Arc<Swallows>| {
        let (stop, stopping) = oneshot::channel::<()>();
        (stop, tokio::spawn(relay(owner, carrier).run(async move { drop(stopping.await) })))
    };
    let ends = async |stop: oneshot::Sender<()>, relay: JoinHandle<()>| {
        stop.send(()).expect("it runs");
        let began = Instant::now();
        relay.await.expect("it does not panic");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert_eq!(led_by().await, None, "its lease is free");
    };
    let (by_first, by_third) = (Arc::new(Swallows::default()), Arc::new(Swallows::default()));
    let (stop, first) = run("first", &by_first);
    for n in 1..=20 {
        deposit(&store, "a", n).await.expect("it commits");
    }
    eventually("the first publishes", async || by_first.published().0, |n| *n > 0).await;
    ends(stop, first).await;
    let cursor = kept().await;
    assert!(cursor > 0, "what it has published is kept");
    // One that cannot begin, since its carrier does not answer, leaves that as it is.
    let (stop, second) = run("second", &Arc::new(Swallows { is_away: true, ..Swallows::default() }));
    eventually("the second leads", async || led_by().await, |owner| owner.as_deref() == Some("second")).await;
    ends(stop, second).await;
    assert_eq!(kept().await, cursor);
    let (_stop, third) = run("third", &by_third);
    // The first may have published everything.
    eventually("the third leads", async || led_by().await, |owner| owner.as_deref() == Some("third")).await;
    eventually("the third goes on", async || kept().await, |pos| *pos == 20).await;
    assert_eq!(by_third.published().0 as i64, 20 - cursor, "from there");
    third.abort();
    assert!(third.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!(led_by().await.as_deref(), Some("third"), "nobody gave it back");
}

/// F-16: the wire to the lease's database goes dead without a word. Who leads publishes no more before half of the lease's time is
/// over, another takes over when all of it is, and the first does not come back when the wire does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_wire_to_the_lease_is_dead_publishes_no_more() {
    let databases = databases().await;
    let (store, _) = databases.bank().await;
    let proxy = Proxy::before(databases.server.address()).await;
    let urls = Urls::none().with("bank", databases.url_behind(&proxy, "bank"));
    let name = StoreName::of("bank");
    let (behind, _) =
        Postgres::new(urls, options()).open_store(&name, &account::schema()).await.expect("it opens");
    // Its events come by another way, so that only the lease can stop it.
    let log = Log::new(store.clone(), Listeners::none(), LogOptions::default());
    let relay = |store: &Store, owner: &str| {
        let swallows = Arc::new(Swallows::default());
        let lease = Arc::new(Leased::new(store.clone(), owner));
        let (feed, carrier) = (Arc::clone(&log) as _, Arc::clone(&swallows) as _);
        let relay = Relay::new(store.clone(), "accounts", (0..LANES).map(Lane), feed, carrier, lease);
        (swallows, tokio::spawn(relay.run(std::future::pending())))
    };
    let writing = store.clone();
    let writer = tokio::spawn(async move {
        loop {
            deposit(&writing, "a", 1).await.expect("it commits");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let (by_first, first) = relay(&behind, "first");
    eventually("the first publishes", async || by_first.published().0, |n| *n > 10).await;
    let (by_second, second) = relay(&store, "second");
    proxy.dead(true);
    let dead_at = Instant::now();
    eventually("the second publishes", async || by_second.published().0, |n| *n > 10).await;
    let (n_first, last) = by_first.published();
    let last = last.duration_since(dead_at);
    assert!(last <= lease::TTL / 2, "the first has published for {last:?}");
    assert!(dead_at.elapsed() >= lease::TTL / 2, "the second has waited for the lease");
    proxy.dead(false);
    let n_second = by_second.published().0;
    eventually("the second goes on", async || by_second.published().0, |n| *n > n_second + 200).await;
    assert_eq!(by_first.published().0, n_first, "the first knows that it does not lead");
    assert!(!writer.is_finished() && !first.is_finished() && !second.is_finished());
    writer.abort();
    first.abort();
    second.abort();
}

/// A carrier that acknowledges everything and brings nothing.
#[derive(Default)]
struct Swallows {
    /// Whether it does not say what it holds.
    is_away: bool,
    /// How many records it was given, and when the last one came.
    taken: Mutex<(usize, Option<Instant>)>,
}

impl Swallows {
    fn published(&self) -> (usize, Instant) {
        let (n, last) = *self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        (n, last.unwrap_or_else(Instant::now))
    }
}

impl Carrier for Swallows {
    fn name(&self) -> &str {
        "swallows"
    }

    fn publish<'a>(
        &'a self,
        _source: &'a ServiceName,
        _topic: &'a str,
        _lane: Lane,
        records: &'a [Arc<Record>],
        _fence: Option<u64>,
    ) -> BoxFuture<'a, Vec<Result<Hint, PublishError>>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        *taken = (taken.0 + records.len(), Some(Instant::now()));
        Box::pin(async move { records.iter().map(|_| Ok(Hint("swallows:x:0".into()))).collect() })
    }

    fn beacon<'a>(
        &'a self,
        _source: &'a ServiceName,
        _topic: &'a str,
        _epochs: &'a Epochs,
        _heads: &'a [(Lane, Pos)],
    ) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(async { Ok(()) })
    }

    fn head<'a>(
        &'a self,
        _source: &'a ServiceName,
        _topic: &'a str,
        _lane: Lane,
    ) -> BoxFuture<'a, Result<Head, CarrierError>> {
        let away = || CarrierError::Unavailable("it is away".to_owned());
        Box::pin(async move { if self.is_away { Err(away()) } else { Ok(Head::Unknown) } })
    }

    fn read<'a>(
        &'a self,
        _source: &'a ServiceName,
        _topic: &'a str,
        _from: Vec<(Lane, Option<Hint>)>,
    ) -> BoxFuture<'a, Result<Box<dyn Arrivals>, CarrierError>> {
        Box::pin(async { Err(CarrierError::Unavailable("it brings nothing".to_owned())) })
    }
}
