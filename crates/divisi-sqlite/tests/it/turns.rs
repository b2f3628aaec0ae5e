//! Who may write next: calls before consumers, and nobody is stalled by one who does not come.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use divisi_contract::CallError;
use divisi_store::conformance::account::{add, deposit, is_consistent};
use divisi_store::{Class, Store, StoreError, Tx, TxFailed};

use crate::fixture::{Fixture, fast, fixture, poll_each_once};

type Turn<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

fn turn<'a>(
    store: &'a Store,
    class: Class,
    name: &'static str,
    order: &'a Mutex<Vec<&'static str>>,
) -> Turn<'a> {
    Box::pin(async move {
        let done: Result<((), _), TxFailed<StoreError>> = store
            .run(class, async |tx: &mut Tx| {
                order.lock().expect("no panic").push(name);
                add(tx, name, 1).await.map(drop).map_err(|error| panic!("{error}"))
            })
            .await;
        done.expect("it commits");
    })
}

/// What a wait that should end at once may take on a machine that is busy.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(20), future).await {
        Ok(value) => value,
        Err(_) => panic!("stalled: {what}"),
    }
}

#[tokio::test]
async fn calls_go_before_consumers_that_wait_longer() {
    let Fixture { store, backend, dir } = fixture(fast()).await;
    let order = Mutex::new(Vec::new());
    let running = store.backend().begin(Class::Call).await.expect("a turn");
    let mut waiting: Vec<Turn<'_>> = vec![
        turn(&store, Class::Consumer, "consumer-1", &order),
        turn(&store, Class::Consumer, "consumer-2", &order),
        turn(&store, Class::Call, "call-1", &order),
        turn(&store, Class::Call, "call-2", &order),
    ];
    assert!(poll_each_once(&mut waiting).await.iter().all(Option::is_none), "somebody else is writing");
    let tasks = async {
        let [a, b, c, d] = &mut waiting[..] else { panic!("four") };
        let joined = async { tokio::join!(a, b, c, d) };
        drop(running);
        joined.await;
    };
    soon("four who wait", tasks).await;
    drop(waiting);
    // `join!` polls in its own order: what is promised is that a consumer has one turn while a call waits.
    let order = order.into_inner().expect("no panic");
    let second_consumer = order.iter().rposition(|name| name.starts_with("consumer")).expect("it came");
    let last_call = order.iter().rposition(|name| name.starts_with("call")).expect("it came");
    assert!(second_consumer > last_call, "one consumer at most before the calls: {order:?}");
    Fixture { store, backend, dir }.close_and_check().await;
}

#[tokio::test]
async fn a_consumer_has_one_turn_in_a_group_while_a_call_waits() {
    let Fixture { store, backend, dir: _dir } = fixture(fast()).await;
    let order = Mutex::new(Vec::new());
    let running = store.backend().begin(Class::Call).await.expect("a turn");
    let mut call = vec![turn(&store, Class::Call, "call", &order)];
    let mut consumers: Vec<Turn<'_>> =
        (0..4).map(|_| turn(&store, Class::Consumer, "consumer", &order)).collect();
    poll_each_once(&mut call).await;
    poll_each_once(&mut consumers).await;
    drop(running);
    // The call has been woken and does not come; the consumers do.
    poll_each_once(&mut consumers).await;
    assert_eq!(*order.lock().expect("no panic"), ["consumer"], "one turn, then the call");
    poll_each_once(&mut call).await;
    assert_eq!(*order.lock().expect("no panic"), ["consumer", "call"]);
    poll_each_once(&mut consumers).await;
    assert_eq!(
        order.lock().expect("no panic").len(),
        2,
        "the call waits for its commit, the others do not lengthen it"
    );
    soon("a call and consumers", async {
        for turn in call.into_iter().chain(consumers) {
            turn.await;
        }
    })
    .await;
    assert_eq!(order.lock().expect("no panic").len(), 5);
    assert!(backend.stats().commits > 1, "they are in later groups");
}

/// Writes down who is woken.
struct Woken(&'static str, Arc<Mutex<Vec<&'static str>>>);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.1.lock().expect("no panic").push(self.0);
    }
}

/// Whoever is woken first runs first, and a consumer then goes on with its next batch.
#[tokio::test]
async fn a_call_hears_of_its_commit_before_the_consumers_of_its_group() {
    let Fixture { store, backend, dir } = fixture(fast()).await;
    let order = Mutex::new(Vec::new());
    let woken = Arc::new(Mutex::new(Vec::new()));
    let mut members: Vec<(Turn<'_>, &str)> = ["opens", "consumer-1", "consumer-2", "call"]
        .map(|name| {
            let class = if name == "call" { Class::Call } else { Class::Consumer };
            (turn(&store, class, name, &order), name)
        })
        .into();
    for (member, name) in &mut members {
        let waker = Waker::from(Arc::new(Woken(name, Arc::clone(&woken))));
        assert!(member.as_mut().poll(&mut Context::from_waker(&waker)).is_pending(), "nobody has committed");
    }
    assert_eq!(*order.lock().expect("no panic"), ["opens", "consumer-1", "consumer-2", "call"]);
    soon("the commit", async {
        while !woken.lock().expect("no panic").contains(&"consumer-2") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut heard = woken.lock().expect("no panic").clone();
    // It was alone once, and let others run before it looked again.
    heard.retain(|name| *name != "opens");
    assert_eq!(heard, ["call", "consumer-1", "consumer-2"]);
    assert_eq!(backend.stats().commits, 1, "they are one group");
    for (member, _) in members {
        soon("an answer", member).await;
    }
    Fixture { store, backend, dir }.close_and_check().await;
}

#[tokio::test]
async fn one_that_was_woken_and_is_not_polled_stalls_nobody() {
    let Fixture { store, backend, dir } = fixture(fast()).await;
    let order = Mutex::new(Vec::new());
    let running = store.backend().begin(Class::Call).await.expect("a turn");
    let mut sleepy = vec![turn(&store, Class::Call, "sleepy", &order)];
    let mut others: Vec<Turn<'_>> = (0..3).map(|_| turn(&store, Class::Call, "other", &order)).collect();
    poll_each_once(&mut sleepy).await;
    poll_each_once(&mut others).await;
    drop(running);
    soon("the others", async {
        for other in others {
            other.await;
        }
    })
    .await;
    for _ in 0..3 {
        soon("later ones", deposit(&store, "later", 1)).await.expect("it commits");
    }
    assert!(!order.lock().expect("no panic").contains(&"sleepy"));
    soon("the sleepy one", sleepy.remove(0)).await;
    drop(sleepy);
    assert_eq!(is_consistent(&store).await.len(), 3);
    Fixture { store, backend, dir }.close_and_check().await;
}

#[tokio::test]
async fn one_that_was_woken_and_goes_away_stalls_nobody() {
    let Fixture { store, dir: _dir, .. } = fixture(fast()).await;
    let order = Mutex::new(Vec::new());
    let running = store.backend().begin(Class::Call).await.expect("a turn");
    let mut leaving = vec![turn(&store, Class::Call, "leaving", &order)];
    let mut staying = vec![turn(&store, Class::Call, "staying", &order)];
    poll_each_once(&mut leaving).await;
    poll_each_once(&mut staying).await;
    drop(running);
    drop(leaving);
    soon("the one that stays", staying.remove(0)).await;
    assert_eq!(*order.lock().expect("no panic"), ["staying"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_group_leaves_the_others_to_the_next_and_overtakes_nobody_for_ever() {
    let options = divisi_sqlite::Options { group_members_max: 4, ..fast() };
    let Fixture { store, backend, dir } = fixture(options).await;
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..32 {
        let store = store.clone();
        tasks.spawn(async move {
            for _ in 0..20 {
                deposit(&store, &format!("account-{writer}"), 1).await.expect("it commits");
            }
        });
    }
    soon("thirty-two writers in groups of four", tasks.join_all()).await;
    let stats = backend.stats();
    assert!(stats.members_max <= 4, "{stats:?}");
    assert_eq!(stats.members, 640);
    Fixture { store, backend, dir }.close_and_check().await;
}

#[tokio::test]
async fn a_consumer_is_not_starved_by_calls() {
    let Fixture { store, dir: _dir, .. } = fixture(fast()).await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut calls = tokio::task::JoinSet::new();
    for writer in 0..16 {
        let (store, stop) = (store.clone(), Arc::clone(&stop));
        calls.spawn(async move {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                deposit(&store, &format!("account-{writer}"), 1).await.expect("it commits");
            }
        });
    }
    for _ in 0..10 {
        let turn = store.run(Class::Consumer, async |tx: &mut Tx| add(tx, "consumer", 1).await);
        soon("a consumer among calls", turn).await.expect("it commits");
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    calls.join_all().await;
}

/// A call whose thread is busy goes before consumers in the next group as well, and then holds up nobody.
#[tokio::test]
async fn a_call_that_comes_late_is_still_before_the_consumers_of_one_more_group() {
    // So long does a group wait for the call, and so long may the four of the last group take to come.
    let options = divisi_sqlite::Options { group_time: Duration::from_millis(200), ..fast() };
    let Fixture { store, backend, dir } = fixture(options).await;
    let order = Mutex::new(Vec::new());
    let running = store.backend().begin(Class::Call).await.expect("a turn");
    let mut call = vec![turn(&store, Class::Call, "call", &order)];
    let mut consumers: Vec<Turn<'_>> =
        (0..6).map(|_| turn(&store, Class::Consumer, "consumer", &order)).collect();
    poll_each_once(&mut call).await;
    poll_each_once(&mut consumers).await;
    drop(running);
    let mut turns = Vec::new();
    while turns.len() < 3 {
        let before = (backend.stats().ended, order.lock().expect("no panic").len());
        let mut ended = poll_each_once(&mut consumers).await.into_iter();
        consumers.retain(|_| ended.next().flatten().is_none());
        turns.push(order.lock().expect("no panic").len() - before.1);
        // The group waits a little for the call, and then no more. The writer must be free before the next are polled.
        let committed = async {
            while backend.stats().ended == before.0 {
                tokio::task::yield_now().await;
            }
        };
        soon("a group without the call", committed).await;
    }
    assert_eq!(turns, [1, 1, 4], "one turn in each of two groups, then all the others");
    soon("the call", call.remove(0)).await;
    drop(call);
    is_consistent(&store).await;
    drop(consumers);
    Fixture { store, backend, dir }.close_and_check().await;
}

/// F-60: whatever is consumed beside it, a call waits for two turns of consumers at the most: one in the group that it
/// finds, and one in the next. Counted are turns that find a call waiting, since a test's thread may be held up between a
/// look at the count and its call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_beside_a_backlog_waits_for_two_consumers_at_the_most() {
    // A machine that is busy must not decide: a group waits for a call that is on its way.
    let options = divisi_sqlite::Options { group_time: Duration::from_secs(20), ..fast() };
    let Fixture { store, backend, dir } = fixture(options).await;
    let (n_turns, n_awaited) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut consumers = tokio::task::JoinSet::new();
    for n in 0..24 {
        let (store, n_turns, n_awaited) = (store.clone(), Arc::clone(&n_turns), Arc::clone(&n_awaited));
        consumers.spawn(async move {
            loop {
                let turn = store.run(Class::Consumer, async |tx: &mut Tx| {
                    n_turns.fetch_add(1, Ordering::Relaxed);
                    if tx.is_awaited() {
                        n_awaited.fetch_add(1, Ordering::Relaxed);
                    }
                    add(tx, &format!("consumer-{n}"), 1).await
                });
                turn.await.expect("it commits");
            }
        });
    }
    let (mut n_calls, mut awaited_max) = (0, 0);
    // A call that finds nobody at work shows nothing.
    while n_calls < 200 || awaited_max == 0 {
        // At any moment of the consumers' work.
        for _ in 0..n_calls % 7 {
            tokio::task::yield_now().await;
        }
        n_awaited.store(0, Ordering::Relaxed);
        let call = store.run(Class::Call, async |tx: &mut Tx| {
            let before_it = n_awaited.load(Ordering::Relaxed);
            add(tx, "call", 1).await?;
            Ok::<usize, CallError>(before_it)
        });
        let (before_it, _) = soon("a call beside a backlog", call).await.expect("it commits");
        awaited_max = awaited_max.max(before_it);
        n_calls += 1;
        assert!(n_calls < 100_000, "no call had to wait at all, so nothing was shown");
    }
    assert!(awaited_max <= 2, "a call waited for {awaited_max} consumers");
    assert!(n_turns.load(Ordering::Relaxed) > 200, "the backlog was consumed meanwhile");
    consumers.shutdown().await;
    assert_eq!(is_consistent(&store).await.get("call"), Some(&n_calls));
    Fixture { store, backend, dir }.close_and_check().await;
}
