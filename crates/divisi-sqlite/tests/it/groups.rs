//! F-55: whatever members of a group do, each is told the truth.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use divisi_contract::{Answer, CallError, CauseKind, Keyed};
use divisi_sqlite::{Options, Stats};
use divisi_store::conformance::account::{add, balances, cx, deposit, is_consistent};
use divisi_store::{Class, Committed, Record, Store, Tx, params};

use crate::fixture::{Fixture, fast, fixture, poll_each_once};
use crate::own_process;

type Deposit<'a> = Pin<Box<dyn Future<Output = Answer<i64>> + Send + 'a>>;

const MEMBERS: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Commits,
    CommitsAndGoesAway,
    IsDroppedBefore,
    IsDroppedInside,
    Refuses,
    BreaksARule,
    BreaksADeferredKey,
    MendsADeferredKey,
    Panics,
    Waits,
    UsesARollbackClause,
    ControlsTheTransaction,
}

const ALL: [Does; 12] = [
    Does::Commits,
    Does::CommitsAndGoesAway,
    Does::IsDroppedBefore,
    Does::IsDroppedInside,
    Does::Refuses,
    Does::BreaksARule,
    Does::BreaksADeferredKey,
    Does::MendsADeferredKey,
    Does::Panics,
    Does::Waits,
    Does::UsesARollbackClause,
    Does::ControlsTheTransaction,
];

impl Does {
    fn is_kept(self) -> bool {
        matches!(self, Does::Commits | Does::CommitsAndGoesAway | Does::MendsADeferredKey)
    }

    /// What the caller hears, if it is not a balance.
    fn complaint(self) -> Option<CauseKind> {
        match self {
            Does::Refuses => Some(CauseKind::NotAllowed),
            Does::BreaksARule | Does::BreaksADeferredKey => Some(CauseKind::Store),
            Does::UsesARollbackClause | Does::ControlsTheTransaction => Some(CauseKind::Store),
            Does::Waits => Some(CauseKind::WaitedInTransaction),
            _ => None,
        }
    }
}

async fn member(store: &Store, account: String, does: Does) -> Answer<i64> {
    if does == Does::IsDroppedInside {
        let mut session = store.backend().begin(Class::Call).await.expect("a turn");
        let sql = "INSERT INTO account (id, balance) VALUES ($1, 1)";
        session.execute(sql, params![account]).await.expect("a row");
        drop(session);
        return Ok(0);
    }
    let body = async |tx: &mut Tx| {
        let balance = add(tx, &account, 1).await?;
        match does {
            Does::Refuses => return Err(CallError::not_run(CauseKind::NotAllowed, "no")),
            Does::BreaksARule => return add(tx, &account, -2).await,
            Does::BreaksADeferredKey => {
                tx.execute("INSERT INTO card (owner) VALUES ($1)", params![77_777_i64]).await?;
            }
            Does::MendsADeferredKey => {
                let owner = fastrand::i64(1_000_000..i64::MAX);
                tx.execute("INSERT INTO card (owner) VALUES ($1)", params![owner]).await?;
                tx.execute("INSERT INTO owner (id) VALUES ($1)", params![owner]).await?;
            }
            Does::Panics => panic!("as it was told to"),
            Does::Waits => tokio::task::yield_now().await,
            Does::UsesARollbackClause => {
                let sql = "INSERT OR ROLLBACK INTO account (id, balance) VALUES ($1, 1)";
                tx.execute(sql, params![account]).await?;
            }
            Does::ControlsTheTransaction => {
                tx.execute("COMMIT", params![]).await?;
            }
            _ => {}
        }
        Ok(balance)
    };
    store.transact(&cx(), body).await
}

/// Polls each member once, so that all are in one group; a panic is that member's alone.
fn poll_members(
    members: &mut [(Does, Option<Deposit<'_>>)],
    task: &mut std::task::Context<'_>,
) -> Vec<Option<Answer<i64>>> {
    members
        .iter_mut()
        .map(|(does, slot)| {
            if *does == Does::IsDroppedBefore {
                *slot = None;
            }
            let polled = slot
                .as_mut()
                .map(|future| std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(task))));
            match polled {
                None => None,
                Some(Err(_)) => {
                    assert_eq!(*does, Does::Panics);
                    *slot = None;
                    None
                }
                Some(Ok(std::task::Poll::Pending)) => {
                    if *does == Does::CommitsAndGoesAway {
                        *slot = None;
                    }
                    None
                }
                Some(Ok(std::task::Poll::Ready(answer))) => {
                    *slot = None;
                    Some(answer)
                }
            }
        })
        .collect()
}

async fn each_is_told_the_truth(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let Fixture { store, backend, dir } = fixture(fast()).await;
    let mut all: Vec<Does> = (0..MEMBERS).map(|n| ALL[n % ALL.len()]).collect();
    random.shuffle(&mut all);
    // The first is kept, so that from then on no answer may come before the commit.
    all[0] = Does::Commits;
    let mut members: Vec<(Does, Option<Deposit<'_>>)> = all
        .iter()
        .enumerate()
        .map(|(n, does)| {
            (*does, Some(Box::pin(member(&store, format!("account-{n}"), *does)) as Deposit<'_>))
        })
        .collect();
    let at_once = std::future::poll_fn(|task| std::task::Poll::Ready(poll_members(&mut members, task))).await;
    for (n, answer) in at_once.iter().enumerate() {
        let early = answer.is_some() && all[n] != Does::IsDroppedInside;
        assert!(!early, "seed {seed}: {n} ({:?}) was answered before the sync: {answer:?}", all[n]);
    }
    for (n, (does, slot)) in members.into_iter().enumerate() {
        let Some(future) = slot else { continue };
        let answer = future.await;
        match does.complaint() {
            None => assert_eq!(answer.expect("it is kept"), 1, "seed {seed}: {n} ({does:?})"),
            Some(kind) => {
                let error = answer.expect_err("it is not kept");
                let found = error.cause().map(|cause| cause.kind);
                assert_eq!(found, Some(kind), "seed {seed}: {n} ({does:?}): {error}");
            }
        }
    }
    let kept: Vec<String> =
        (0..MEMBERS).filter(|n| all[*n].is_kept()).map(|n| format!("account-{n}")).collect();
    let mut found: Vec<String> = is_consistent(&store).await.into_keys().collect();
    found.sort_by_key(|account| account.trim_start_matches("account-").parse::<usize>().ok());
    assert_eq!(found, kept, "seed {seed}");
    let Stats { commits, members_max, .. } = backend.stats();
    assert_eq!((commits, members_max), (1, kept.len() as u64), "seed {seed}: they were one group");
    Fixture { store, backend, dir }.close_and_check().await;
}

#[tokio::test]
async fn each_member_of_a_group_is_told_the_truth() {
    for seed in 0..20 {
        each_is_told_the_truth(seed).await;
    }
}

/// A group of three who commit, `guilty`, and three who come after it; what the guilty one hears, and the others.
async fn around(
    store: &Store,
    guilty: impl Future<Output = Answer<i64>> + Send,
) -> (Answer<i64>, Vec<Answer<i64>>, Vec<Answer<i64>>) {
    let mut members: Vec<Deposit<'_>> = Vec::new();
    for n in 0..3 {
        members.push(Box::pin(
            async move { deposit(store, &format!("before-{n}"), 1).await.map(|done| done.0) },
        ));
    }
    members.push(Box::pin(guilty));
    for n in 0..3 {
        members
            .push(Box::pin(async move { deposit(store, &format!("after-{n}"), 1).await.map(|done| done.0) }));
    }
    let mut answers: Vec<Answer<i64>> = Vec::new();
    let at_once = poll_each_once(&mut members).await;
    for (answer, future) in at_once.into_iter().zip(members) {
        answers.push(match answer {
            Some(answer) => answer,
            None => future.await,
        });
    }
    let after = answers.split_off(4);
    let guilty = answers.pop().expect("the guilty one's answer");
    (guilty, answers, after)
}

fn kind(answer: &Answer<i64>) -> Option<CauseKind> {
    assert!(!answer.as_ref().is_err_and(CallError::may_have_run), "what was undone is certain: {answer:?}");
    answer.as_ref().err().and_then(|error| error.cause()).map(|cause| cause.kind)
}

#[tokio::test]
async fn a_full_disk_undoes_those_before_it_and_nobody_after() {
    for swallows in [false, true] {
        let options = Options { pages_max: Some(200), ..fast() };
        let Fixture { store, backend, dir } = fixture(options).await;
        let (guilty, before, after) = around(&store, async {
            store
                .transact(&cx(), async |tx: &mut Tx| {
                    let sql = "INSERT INTO body (bytes) VALUES (zeroblob(4000000))";
                    let full = tx.execute(sql, params![]).await;
                    assert!(full.is_err(), "there is no room for it");
                    if !swallows {
                        full?;
                    }
                    let next = tx.execute("INSERT INTO owner (id) VALUES (1)", params![]).await;
                    assert!(next.is_err(), "it would commit by itself");
                    Ok(0)
                })
                .await
        })
        .await;
        assert_eq!(kind(&guilty), Some(CauseKind::Store), "{guilty:?}");
        assert!(guilty.unwrap_err().to_string().contains("room"), "it is told why");
        for answer in &before {
            assert_eq!(kind(answer), Some(CauseKind::Conflict), "safe to try again: {answer:?}");
        }
        assert!(after.iter().all(Result::is_ok), "those who come later are of another group: {after:?}");
        let found = is_consistent(&store).await;
        assert_eq!(found.into_keys().collect::<Vec<_>>(), ["after-0", "after-1", "after-2"]);
        Fixture { store, backend, dir }.close_and_check().await;
    }
}

const SLOW: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000)";

#[tokio::test]
async fn a_read_above_the_time_limit_fails_alone() {
    let options = Options { transaction_limit: Duration::from_millis(20), ..fast() };
    let Fixture { store, backend, dir } = fixture(options).await;
    let (guilty, before, after) = around(&store, async {
        store
            .transact(&cx(), async |tx: &mut Tx| {
                add(tx, "guilty", 1).await?;
                let (n,): (i64,) = tx.query_one(&format!("{SLOW} SELECT count(*) FROM n"), params![]).await?;
                Ok(n)
            })
            .await
    })
    .await;
    assert_eq!(kind(&guilty), Some(CauseKind::TransactionTooLong), "{guilty:?}");
    assert!(before.iter().chain(&after).all(Result::is_ok), "{before:?} {after:?}");
    assert_eq!(is_consistent(&store).await.len(), 6);
    Fixture { store, backend, dir }.close_and_check().await;
}

#[tokio::test]
async fn a_write_above_the_time_limit_fails_and_who_shared_its_group_may_try_again() {
    let options = Options { transaction_limit: Duration::from_millis(20), ..fast() };
    let Fixture { store, backend, dir } = fixture(options).await;
    let (guilty, before, after) = around(&store, async {
        store
            .transact(&cx(), async |tx: &mut Tx| {
                let sql = format!("{SLOW} INSERT INTO owner (id) SELECT count(*) FROM n");
                tx.execute(&sql, params![]).await?;
                Ok(0)
            })
            .await
    })
    .await;
    assert_eq!(kind(&guilty), Some(CauseKind::TransactionTooLong), "{guilty:?}");
    assert!(before.iter().all(|answer| kind(answer) == Some(CauseKind::Conflict)), "{before:?}");
    assert!(after.iter().all(Result::is_ok), "{after:?}");
    assert_eq!(is_consistent(&store).await.len(), 3);
    Fixture { store, backend, dir }.close_and_check().await;
}

#[tokio::test]
async fn a_closure_that_computes_too_long_fails_alone() {
    let options = Options { transaction_limit: Duration::from_millis(20), ..fast() };
    let Fixture { store, backend, dir } = fixture(options).await;
    for at_its_end in [false, true] {
        let (guilty, before, after) = around(&store, async {
            store
                .transact(&cx(), async |tx: &mut Tx| {
                    add(tx, "guilty", 1).await?;
                    let began = Instant::now();
                    while began.elapsed() < Duration::from_millis(30) {}
                    if at_its_end { Ok(1) } else { add(tx, "guilty", 1).await }
                })
                .await
        })
        .await;
        assert_eq!(kind(&guilty), Some(CauseKind::TransactionTooLong), "{guilty:?}");
        assert!(before.iter().chain(&after).all(Result::is_ok), "{before:?} {after:?}");
        assert!(!balances(&store).await.contains_key("guilty"));
    }
    Fixture { store, backend, dir }.close_and_check().await;
}

#[tokio::test]
async fn a_refusal_of_one_alone_is_answered_without_a_commit() {
    let Fixture { store, backend, dir: _dir } = fixture(fast()).await;
    let mut alone: Vec<Deposit<'_>> = vec![Box::pin(member(&store, "a".to_owned(), Does::Refuses))];
    let answer = poll_each_once(&mut alone).await.remove(0).expect("it is answered at once");
    assert_eq!(kind(&answer), Some(CauseKind::NotAllowed));
    store.close().await;
    assert_eq!(backend.stats().commits, 0);
}

#[derive(Default)]
struct Heard {
    records: Mutex<Vec<Arc<Record>>>,
    forgot: Mutex<usize>,
}

impl Committed for Heard {
    fn committed(&self, records: &[Arc<Record>]) {
        self.records.lock().expect("no panic").extend_from_slice(records);
    }

    fn forget(&self) {
        *self.forgot.lock().expect("no panic") += 1;
    }
}

async fn three_at_once(store: &Store) -> Vec<Answer<i64>> {
    let mut members: Vec<Deposit<'_>> = Vec::new();
    for n in 0..3 {
        members
            .push(Box::pin(async move { deposit(store, &format!("first-{n}"), 1).await.map(|done| done.0) }));
    }
    assert!(
        poll_each_once(&mut members).await.iter().all(Option::is_none),
        "nobody is answered before the sync"
    );
    let mut answers = Vec::new();
    for member in members {
        answers.push(member.await);
    }
    answers
}

#[tokio::test]
async fn a_commit_that_is_refused_did_not_happen_for_all() {
    if !own_process::with_failpoints(
        "groups::a_commit_that_is_refused_did_not_happen_for_all",
        "commit.before=error@1",
    ) {
        return;
    }
    let Fixture { store, backend, dir } = fixture(fast()).await;
    for answer in three_at_once(&store).await {
        assert!(matches!(answer, Err(CallError::NotRun(_))), "{answer:?}");
    }
    assert!(is_consistent(&store).await.is_empty());
    let (_, positions) = deposit(&store, "first-0", 1).await.expect("the store goes on");
    assert_eq!(positions[0].pos.0, 1, "the ends of lanes were put back");
    Fixture { store, backend, dir }.close_and_check().await;
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_may_have_run_for_all_and_the_writer_is_opened_anew() {
    if !own_process::with_failpoints(
        "groups::a_commit_of_unknown_outcome_may_have_run_for_all_and_the_writer_is_opened_anew",
        "commit.during=error@1",
    ) {
        return;
    }
    let Fixture { store, backend, dir } = fixture(fast()).await;
    let heard = Arc::new(Heard::default());
    store.backend().listen(Arc::clone(&heard) as Arc<dyn Committed>);
    for answer in three_at_once(&store).await {
        assert!(matches!(answer, Err(CallError::MayHaveRun(_))), "{answer:?}");
    }
    assert_eq!(
        (heard.records.lock().expect("no panic").len(), *heard.forgot.lock().expect("no panic")),
        (0, 1)
    );
    assert_eq!(backend.stats().unknown, 1);
    deposit(&store, "next", 1).await.expect("the store goes on with another connection");
    is_consistent(&store).await;
    Fixture { store, backend, dir }.close_and_check().await;
}

#[tokio::test]
async fn a_commit_job_that_panics_leaves_true_answers() {
    if !own_process::with_failpoints(
        "groups::a_commit_job_that_panics_leaves_true_answers",
        "commit.before=panic@1;commit.after=panic@1",
    ) {
        return;
    }
    let Fixture { store, backend, dir } = fixture(fast()).await;
    for answer in three_at_once(&store).await {
        assert!(matches!(answer, Err(CallError::MayHaveRun(_))), "at COMMIT it is not known: {answer:?}");
    }
    // The next one panics after its sync, when it is known.
    for answer in three_at_once(&store).await {
        assert!(answer.is_ok(), "{answer:?}");
    }
    deposit(&store, "next", 1).await.expect("the store goes on");
    assert_eq!(is_consistent(&store).await.len(), 4);
    Fixture { store, backend, dir }.close_and_check().await;
}

#[tokio::test]
async fn an_append_that_fails_is_its_members_alone() {
    for point in ["append.before", "append.after"] {
        let name = "groups::an_append_that_fails_is_its_members_alone";
        if own_process::is_child() {
            break;
        }
        own_process::with_failpoints(name, &format!("{point}=error@2"));
    }
    if !own_process::is_child() {
        return;
    }
    let Fixture { store, backend, dir } = fixture(fast()).await;
    let answers = three_at_once(&store).await;
    assert!(
        answers[0].is_ok() && matches!(answers[1], Err(CallError::NotRun(_))) && answers[2].is_ok(),
        "{answers:?}"
    );
    assert_eq!(is_consistent(&store).await.into_keys().collect::<Vec<_>>(), ["first-0", "first-2"]);
    Fixture { store, backend, dir }.close_and_check().await;
}

#[test]
fn a_runtime_that_ends_undoes_what_nobody_was_promised() {
    let dir = tempfile::tempdir().expect("a directory");
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let first = runtime();
    let (store, backend) = first.block_on(crate::fixture::open(&dir, fast()));
    {
        let mut members: Vec<Deposit<'_>> = ["a", "c"]
            .map(|who| Box::pin(member(&store, who.to_owned(), Does::Commits)) as Deposit<'_>)
            .into();
        first.block_on(async { assert!(poll_each_once(&mut members).await.iter().all(Option::is_none)) });
        // The commit job goes with its runtime.
        drop(first);
        for member in members {
            let answer = runtime().block_on(member);
            assert!(answer.is_err_and(|error| !error.may_have_run()), "it was undone");
        }
    }
    let second = runtime();
    second.block_on(async {
        deposit(&store, "b", 1).await.expect("the store goes on, on another runtime");
        assert_eq!(is_consistent(&store).await.into_keys().collect::<Vec<_>>(), ["b"]);
        Fixture { dir, store, backend }.close_and_check().await;
    });
}

/// One that is alone and goes with its runtime asks it for a commit job, and the runtime takes none any more.
#[test]
fn one_that_is_alone_when_its_runtime_ends_holds_up_nobody() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (ended, has_ended) = mpsc::channel();
    std::thread::spawn(move || {
        let dir = tempfile::tempdir().expect("a directory");
        let first = runtime();
        let (store, backend) = first.block_on(crate::fixture::open(&dir, fast()));
        let alone = store.clone();
        first.block_on(async move {
            tokio::spawn(async move { member(&alone, "a".to_owned(), Does::Commits).await });
            // It runs until it lets others run before it commits.
            tokio::task::yield_now().await;
        });
        drop(first);
        ended.send(Fixture { dir, store, backend })
    });
    let fixture = has_ended.recv_timeout(Duration::from_secs(20)).expect("the runtime ends");
    runtime().block_on(async {
        deposit(&fixture.store, "b", 1).await.expect("the store goes on, on another runtime");
        assert_eq!(is_consistent(&fixture.store).await.into_keys().collect::<Vec<_>>(), ["b"]);
        fixture.close_and_check().await;
    });
}

/// Whoever is alone commits by itself, and may be held without being polled, in a `select!` for example.
#[tokio::test]
async fn one_that_is_alone_and_not_polled_holds_up_nobody() {
    let Fixture { store, backend, dir } = fixture(fast()).await;
    let alone = |store: &Store, who: &str| {
        let (store, who) = (store.clone(), who.to_owned());
        Box::pin(async move { member(&store, who, Does::Commits).await }) as Deposit<'static>
    };
    let mut held = vec![alone(&store, "a")];
    assert!(poll_each_once(&mut held).await[0].is_none(), "it is alone and has not committed");
    deposit(&store, "b", 1).await.expect("the one who came later commits for both");
    assert_eq!(is_consistent(&store).await.into_keys().collect::<Vec<_>>(), ["a", "b"]);
    held.remove(0).await.expect("it is told so when it asks");

    let mut held = vec![alone(&store, "c")];
    assert!(poll_each_once(&mut held).await[0].is_none());
    drop(held);
    deposit(&store, "d", 1).await.expect("one that was dropped is in nobody's way");
    assert_eq!(is_consistent(&store).await.into_keys().collect::<Vec<_>>(), ["a", "b", "c", "d"]);

    let mut held = vec![alone(&store, "e")];
    assert!(poll_each_once(&mut held).await[0].is_none());
    store.close().await;
    held.remove(0).await.expect("closing the store commits what is open");
    drop((store, backend));
    let (store, backend) = crate::fixture::open(&dir, fast()).await;
    assert_eq!(is_consistent(&store).await.into_keys().collect::<Vec<_>>(), ["a", "b", "c", "d", "e"]);
    Fixture { dir, store, backend }.close_and_check().await;
}

/// Two calls under one key in one group: the second is answered what the first one was, and knows as little as it.
#[tokio::test]
async fn a_twin_in_the_same_group_knows_no_more_than_its_sibling() {
    let test = "groups::a_twin_in_the_same_group_knows_no_more_than_its_sibling";
    if !own_process::with_failpoints(test, "commit.before=error@1;commit.during=error@1") {
        return;
    }
    let Fixture { store, backend, dir } = fixture(fast()).await;
    let keyed = || cx().with_keyed(Keyed::new("bank.add/test".to_owned(), "k".into(), [7; 16]));
    let twins = async || {
        let (one, other) = (keyed(), keyed());
        let mut members: Vec<Deposit<'_>> = Vec::new();
        for cx in [&one, &other] {
            let store = &store;
            members.push(Box::pin(async move {
                store.transact(cx, async |tx: &mut Tx| add(tx, "a", 1).await).await
            }));
        }
        assert!(poll_each_once(&mut members).await.iter().all(Option::is_none), "nobody is answered early");
        let other = members.pop().expect("two").await;
        (members.remove(0).await, other)
    };
    let (one, other) = twins().await;
    assert!(
        matches!((&one, &other), (Err(CallError::NotRun(_)), Err(CallError::NotRun(_)))),
        "{one:?} {other:?}"
    );
    let (one, other) = twins().await;
    assert!(
        matches!((&one, &other), (Err(CallError::MayHaveRun(_)), Err(CallError::MayHaveRun(_)))),
        "one would conclude that nothing ran under its key: {one:?} {other:?}"
    );
    let (one, other) = twins().await;
    assert_eq!((one.expect("it commits"), other.expect("the same answer")), (1, 1));
    assert_eq!(is_consistent(&store).await.get("a"), Some(&1), "once");
    Fixture { store, backend, dir }.close_and_check().await;
}

/// A member whose numbering panics takes its group along, since the ends of lanes cannot be trusted; nothing is stuck
/// and no position is skipped.
#[tokio::test]
async fn a_panic_while_events_are_numbered_leaves_no_hole_and_nobody_waiting() {
    let name = "groups::a_panic_while_events_are_numbered_leaves_no_hole_and_nobody_waiting";
    if !own_process::is_child() {
        for point in ["append.before", "append.after", "group.inside"] {
            own_process::with_failpoints(name, &format!("{point}=panic@2"));
        }
        return;
    }
    let Fixture { store, backend, dir } = fixture(fast()).await;
    let mut members: Vec<(Does, Option<Deposit<'_>>)> = (0..3)
        .map(|n| {
            let does = if n == 1 { Does::Panics } else { Does::Commits };
            let deposit = deposit(&store, "a", 1);
            (does, Some(Box::pin(async move { deposit.await.map(|done| done.0) }) as Deposit<'_>))
        })
        .collect();
    std::future::poll_fn(|task| std::task::Poll::Ready(poll_members(&mut members, task))).await;
    assert!(members[1].1.is_none(), "it panicked");
    let [(_, Some(before)), _, (_, Some(after))] = &mut members[..] else { panic!("two are left") };
    let before = tokio::time::timeout(Duration::from_secs(20), before).await.expect("nobody is stuck");
    assert_eq!(kind(&before), Some(CauseKind::Conflict), "safe to try again");
    let after = tokio::time::timeout(Duration::from_secs(20), after).await.expect("nobody is stuck");
    assert_eq!(after.expect("it is of the next group"), 1);
    let (_, positions) = deposit(&store, "a", 1).await.expect("the store goes on");
    assert_eq!(positions[0].pos.0, 2, "no position was skipped");
    is_consistent(&store).await;
    drop(members);
    Fixture { store, backend, dir }.close_and_check().await;
}

/// Those who share a group with the beginning of an epoch are of two epochs, and a listener never hears of the later
/// one before it was told to forget the earlier.
#[tokio::test]
async fn a_listener_hears_of_no_record_of_an_epoch_before_it_forgot_the_one_before() {
    let Fixture { store, backend, dir } = fixture(fast()).await;
    let heard = Arc::new(Heard::default());
    store.backend().listen(Arc::clone(&heard) as Arc<dyn Committed>);
    deposit(&store, "a", 1).await.expect("it commits");
    let before = heard.records.lock().expect("no panic")[0].epoch;
    let above = |store: &Store| {
        let store = store.clone();
        Box::pin(async move { Ok(store.backend().begin_epoch(before).await.expect("an epoch begins").0) })
    };
    let mut members: Vec<Deposit<'_>> = vec![
        Box::pin(async { deposit(&store, "a", 1).await.map(|done| done.0) }),
        above(&store),
        Box::pin(async { deposit(&store, "a", 1).await.map(|done| done.0) }),
    ];
    assert!(poll_each_once(&mut members).await.iter().all(Option::is_none), "they are one group");
    for member in members {
        member.await.expect("it commits");
    }
    assert_eq!(*heard.forgot.lock().expect("no panic"), 1);
    let epochs: Vec<_> = heard.records.lock().expect("no panic").iter().map(|record| record.epoch).collect();
    assert!(epochs.iter().all(|epoch| *epoch == before), "the log is read again instead: {epochs:?}");
    let (_, positions) = deposit(&store, "a", 1).await.expect("it commits");
    assert!(positions[0].epoch > before && positions[0].pos.0 == 4);
    Fixture { store, backend, dir }.close_and_check().await;
}
