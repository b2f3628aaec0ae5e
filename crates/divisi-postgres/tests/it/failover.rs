//! Servers that die, and databases that go back in time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use divisi_contract::event::{LANES, lane_of};
use divisi_contract::{Context, Event};
use divisi_events::{Fetch, FetchRefused, LaneWanted, Listeners, Log, LogOptions, epochs};
use divisi_postgres::{Options, Postgres, Urls};
use divisi_servers::postgres::{Replication, Shutdown};
use divisi_store::backend::CommitError;
use divisi_store::conformance::account::{Moved, deposit, everything, is_consistent, schema, whole_log};
use divisi_store::inbox::Inbox;
use divisi_store::outbox::Page;
use divisi_store::{Class, Lane, Pos, Store, StoreError, StoreName, Stores, Tx, TxFailed};
use tokio::task::JoinSet;

use crate::fixture::{eventually, options, server_of_its_own};
use crate::proxy::Proxy;

const WRITERS: usize = 6;

fn impatient() -> Options {
    Options {
        connections_max: 8,
        connect_timeout: Duration::from_secs(1),
        statement_timeout: Duration::from_secs(2),
        silence_timeout: Duration::from_secs(2),
        ..options()
    }
}

/// Writers that go on whatever happens, each with an account of its own.
struct Load {
    accounts: Arc<Vec<Account>>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

#[derive(Default)]
struct Account {
    /// The balance that was acknowledged last, and how many outcomes were not known since.
    acknowledged: AtomicI64,
    unknown: AtomicUsize,
    n: AtomicI64,
}

impl Load {
    fn on(store: &Store) -> Load {
        let accounts: Arc<Vec<Account>> = Arc::new((0..WRITERS).map(|_| Account::default()).collect());
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for writer in 0..WRITERS {
            let (store, accounts, stop) = (store.clone(), Arc::clone(&accounts), Arc::clone(&stop));
            tasks.spawn(async move {
                let (name, account) = (format!("account-{writer}"), &accounts[writer]);
                while !stop.load(Ordering::Relaxed) {
                    match deposit(&store, &name, 1).await {
                        Ok((balance, _)) => {
                            account.acknowledged.store(balance, Ordering::Relaxed);
                            account.unknown.store(0, Ordering::Relaxed);
                            account.n.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) if error.may_have_run() => {
                            account.unknown.fetch_add(1, Ordering::Relaxed);
                        }
                        // As a caller would: nothing happened, a little later it may.
                        Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                    }
                }
            });
        }
        Load { accounts, stop, tasks }
    }

    fn n(&self) -> i64 {
        self.accounts.iter().map(|account| account.n.load(Ordering::Relaxed)).sum()
    }

    /// Waits until so many more were acknowledged.
    async fn go_on(&self, more: i64) {
        let from = self.n();
        eventually("the writers go on", async || self.n() - from, |n| *n >= more).await;
    }

    /// Stops, and holds the database against what was acknowledged.
    async fn end(self, store: &Store) {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
        let found = is_consistent(store).await;
        for (writer, account) in self.accounts.iter().enumerate() {
            let acknowledged = account.acknowledged.load(Ordering::Relaxed);
            let unknown = account.unknown.load(Ordering::Relaxed) as i64;
            let found = found.get(&format!("account-{writer}")).copied().unwrap_or_default();
            assert!(
                (acknowledged..=acknowledged + unknown).contains(&found),
                "writer {writer}: {acknowledged} acknowledged, {unknown} unknown, {found} found"
            );
        }
    }
}

/// What a reader has that has read everything.
async fn read_to_the_end(store: &Store) -> Page {
    store.backend().page(everything()).await.expect("a page")
}

/// How many events the reader had that the source no longer knows; and how many new ones it finds behind what is left.
fn enter(mine: &Page, theirs: &Page) -> (i64, usize) {
    let (mut lost, mut new) = (0, 0);
    let after: BTreeMap<Lane, Pos> = mine.heads.iter().copied().collect();
    for (lane, pos) in after {
        let entered =
            epochs::enter(&theirs.epochs, &mine.epochs, lane, pos).expect("they have an epoch in common");
        lost += entered.lost;
        new += theirs.records.iter().filter(|record| record.lane == lane && record.pos > entered.pos).count();
    }
    (lost, new)
}

/// F-37: the server is stopped at once under load and comes back: nothing that was acknowledged is lost, nothing is there
/// that was refused, lanes are dense, and a new epoch has lost nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_under_load_loses_nothing_that_was_acknowledged() {
    let databases = server_of_its_own().await;
    let (store, _) = databases.bank_with(impatient()).await;
    let load = Load::on(&store);
    load.go_on(100).await;
    for _ in 0..3 {
        let before = read_to_the_end(&store).await;
        databases.server.shut_down(Shutdown::Immediate).await.expect("it stops");
        databases.server.start().await.expect("it starts");
        load.go_on(100).await;
        let after = read_to_the_end(&store).await;
        assert!(after.epochs.current() > before.epochs.current(), "its files may have been others");
        assert_eq!(enter(&before, &after).0, 0, "nothing was lost");
    }
    load.end(&store).await;
}

/// F-38: the primary dies, its synchronous standby takes over: nothing acknowledged is lost. The address names both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_synchronous_standby_takes_over_without_a_loss() {
    let databases = server_of_its_own().await;
    databases.bank().await.0.close().await;
    let standby = databases.server.standby(Replication::Synchronous).await.expect("it follows");
    let (first, second) = (databases.server.address(), standby.address());
    let url = databases.url("bank").replace(&format!("@{first}/"), &format!("@{second},{first}/"));
    let stores = Postgres::new(Urls::none().with("bank", url), impatient());
    let store = stores.open(&StoreName::of("bank"), &schema()).await.expect("a store opens");
    let load = Load::on(&store);
    load.go_on(100).await;
    let before = read_to_the_end(&store).await;
    databases.server.kill().await.expect("it is killed");
    standby.promote().await.expect("it is the primary now");
    load.go_on(100).await;
    let after = read_to_the_end(&store).await;
    assert!(after.epochs.current() > before.epochs.current());
    assert_eq!(enter(&before, &after).0, 0, "nothing was lost");
    load.end(&store).await;
}

/// F-39: an asynchronous standby that lacks fifty committed events takes over: their loss is named to the event, and
/// what is written to their positions is not taken for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_asynchronous_standby_lacks_is_named_and_new_events_are_not_swallowed() {
    let databases = server_of_its_own().await;
    let proxy = Proxy::before(databases.server.address()).await;
    let stores = Postgres::new(Urls::none().with("bank", databases.url_behind(&proxy, "bank")), impatient());
    let store = stores.open(&StoreName::of("bank"), &schema()).await.expect("a store opens");
    for n in 0..20 {
        deposit(&store, &format!("account-{}", n % 7), 1).await.expect("it commits");
    }
    let standby = databases.server.standby(Replication::Asynchronous).await.expect("it follows");
    let database = databases.database("bank");
    let there =
        async || standby.sql_in(&database, "SELECT count(*) FROM divisi_outbox").await.unwrap_or_default();
    eventually("it has all twenty", there, |n| n.trim() == "20").await;
    standby.stop().await.expect("it stops");
    for n in 0..50 {
        deposit(&store, &format!("account-{}", n % 7), 1).await.expect("it commits");
    }
    let before = read_to_the_end(&store).await;
    assert_eq!(before.records.len(), 70);
    databases.server.kill().await.expect("it is killed");
    standby.start().await.expect("it starts");
    standby.promote().await.expect("it is the primary now");
    proxy.lead_to(standby.address());
    let mut written = 0;
    while written < 60 {
        match deposit(&store, &format!("account-{}", written % 7), 1).await {
            Ok(_) => written += 1,
            Err(error) => assert!(!error.may_have_run(), "{error:?}"),
        }
    }
    let after = read_to_the_end(&store).await;
    assert_eq!(enter(&before, &after), (50, 60), "fifty are named, and all sixty new ones are read");
    is_consistent(&store).await;
}

/// F-40 on a server: its files are put back to an older copy, and nobody gives a command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_were_put_back_begin_a_new_epoch_without_a_command() {
    let databases = server_of_its_own().await;
    let copies = tempfile::tempdir().expect("a directory");
    let (store, _) = databases.bank_with(impatient()).await;
    deposit(&store, "a", 1).await.expect("it commits");
    databases.server.stop().await.expect("it stops");
    databases.server.copy_data(copies.path().join("copy")).await.expect("a copy");
    databases.server.start().await.expect("it starts");
    let mut again = 0;
    while again < 30 {
        again += i64::from(deposit(&store, "a", 1).await.is_ok());
    }
    let before = read_to_the_end(&store).await;
    databases.server.stop().await.expect("it stops");
    databases.server.restore_data(copies.path().join("copy")).await.expect("the copy is back");
    databases.server.start().await.expect("it starts");
    let mut again = 0;
    while again < 40 {
        again += i64::from(deposit(&store, "a", 1).await.is_ok());
    }
    let after = read_to_the_end(&store).await;
    assert_eq!(enter(&before, &after), (30, 40), "thirty are named, and all forty new ones are read");
    assert_eq!(whole_log(&store).await.len(), 41);
}

/// F-59: the old primary lives on beside the promoted one: it does not answer a reader that has entered the new epoch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_primary_does_not_answer_readers_of_the_new_one() {
    let databases = server_of_its_own().await;
    let (old, _) = databases.bank_with(impatient()).await;
    for _ in 0..5 {
        deposit(&old, "a", 1).await.expect("it commits");
    }
    let standby = databases.server.standby(Replication::Asynchronous).await.expect("it follows");
    let database = databases.database("bank");
    let there =
        async || standby.sql_in(&database, "SELECT count(*) FROM divisi_outbox").await.unwrap_or_default();
    eventually("it has all five", there, |n| n.trim() == "5").await;
    standby.promote().await.expect("it is a primary too");
    let port = |server: &divisi_servers::Postgres| format!(":{}/", server.address().port());
    let url = databases.url("bank").replace(&port(&databases.server), &port(&standby));
    let stores = Postgres::new(Urls::none().with("bank", url), impatient());
    let new = stores.open(&StoreName::of("bank"), &schema()).await.expect("a store opens");
    // The dead branch grows, and nobody of the new life reads it.
    deposit(&old, "a", 100).await.expect("the old one does not know");
    deposit(&new, "a", 1).await.expect("it commits");
    let listeners = || Listeners::none().allow(Moved::TOPIC, "reader");
    let (at_old, at_new) = (
        Log::new(old.clone(), listeners(), LogOptions::default()),
        Log::new(new.clone(), listeners(), LogOptions::default()),
    );
    let epoch = read_to_the_end(&new).await.epochs.current();
    let lane = Lane(lane_of("a", LANES));
    let want = || Fetch {
        topic: Moved::TOPIC.into(),
        reader: "reader".into(),
        lanes: vec![LaneWanted { lane, epoch, pos: Pos(5), applied: Pos(5) }],
        max_records: 512,
        max_bytes: 256 * 1024,
        wait_ms: 0,
    };
    let cx = Context::root("reader");
    let refused = at_old.fetch(&cx, want()).await.expect_err("it is not the one that the reader has entered");
    assert!(
        matches!(refused.refusal(), Some(FetchRefused::EpochAhead { current }) if *current < epoch),
        "{refused:?}"
    );
    let fetched = at_new.fetch(&cx, want()).await.expect("the new one answers");
    let balance = |record: &divisi_store::Record| record.decode::<Moved>().expect("an event").balance;
    assert_eq!(fetched.records.iter().map(|record| balance(record)).collect::<Vec<_>>(), [6]);
}

/// F-25: a consumer that stands still inside its transaction: another one waits for the lock at most as long as it may,
/// and goes on when the server has ended the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_stands_still_inside_its_transaction_is_ended() {
    let databases = crate::fixture::databases().await;
    let options = Options {
        lock_timeout: Duration::from_millis(200),
        idle_in_transaction_timeout: Duration::from_millis(1_500),
        ..options()
    };
    let (store, _) = databases.bank_with(options).await;
    let inbox = Inbox { consumer: "c".into(), source: "s".into(), topic: "t".into() };
    let run = async |lane: Lane| {
        let locked: Result<_, TxFailed<StoreError>> =
            store.run(Class::Consumer, async |tx: &mut Tx| inbox.hold(tx, lane).await).await;
        locked.map(drop).map_err(TxFailed::into_error)
    };
    let declared: Result<_, TxFailed<StoreError>> =
        store.run(Class::Consumer, async |tx: &mut Tx| inbox.declare(tx, 2).await).await;
    declared.expect("the watermarks are there");
    // A zombie: its transaction is open, and it does nothing more.
    let mut zombie = store.backend().begin(Class::Consumer).await.expect("a transaction");
    let lock = "SELECT pos FROM divisi_watermark WHERE lane = 0 FOR UPDATE";
    zombie.query(lock, &[]).await.expect("it has the lock");
    let began = tokio::time::Instant::now();
    run(Lane(1)).await.expect("another lane goes on");
    let waits = run(Lane(0)).await.expect_err("it is held");
    assert!(waits.is_transient(), "the lane backs off and tries again: {waits:?}");
    assert!(
        began.elapsed() < Duration::from_millis(1_400),
        "no longer than it may wait: {:?}",
        began.elapsed()
    );
    let again = async || run(Lane(0)).await.is_ok();
    eventually("the server has ended the zombie", again, |done| *done).await;
    let woken = zombie.commit(Vec::new()).await.expect_err("it is told so");
    assert!(
        matches!(woken, CommitError::DidNotHappen(_)),
        "nothing of it is there, and that is certain: {woken:?}"
    );
}

/// A server that stands still, with all its connections open, is not waited for without end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_is_not_waited_for_without_end() {
    let databases = server_of_its_own().await;
    let options = Options {
        statement_timeout: Duration::from_millis(300),
        silence_timeout: Duration::from_millis(300),
        connect_timeout: Duration::from_millis(500),
        ..options()
    };
    let (store, _) = databases.bank_with(options).await;
    deposit(&store, "a", 1).await.expect("it commits");
    databases.server.freeze().await.expect("it stands");
    let began = tokio::time::Instant::now();
    let refused = deposit(&store, "a", 1).await.expect_err("nobody answers");
    assert!(!refused.may_have_run(), "it never began: {refused:?}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    databases.server.thaw().await.expect("it goes on");
    let again = async || deposit(&store, "a", 1).await.map(|(balance, _)| balance).ok();
    eventually("the store goes on", again, |balance| *balance == Some(2)).await;
}
