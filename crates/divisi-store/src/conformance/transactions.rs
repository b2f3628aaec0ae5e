//! What a transaction promises, and a read.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use divisi_contract::event::EventSpec;
use divisi_contract::{CallError, CauseKind, Event};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::account::{Moved, add, balances, cx, deposit, is_consistent, open, whole_log};
use crate::backend::{Class, Stores};
use crate::transaction::{PAYLOAD_BYTES_MAX, Read, Tx};
use crate::{StoreError, params};

const SET: &str = "UPDATE account SET balance = $2 WHERE id = $1";
const BALANCE: &str = "SELECT balance FROM account WHERE id = $1";

/// What a transaction does once it has sent its statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Commit,
    /// Whatever was said against them.
    CommitUnheard,
    /// Looks at what they did, and commits.
    Ask,
    Refuse,
}

/// For what happens at once, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a transaction changed and what it announced are there together, with the positions that it was told.
pub async fn rows_and_events_commit_together(stores: &dyn Stores) {
    let store = open(stores, "together").await;
    let (balance, positions) = deposit(&store, "a", 5).await.expect("it commits");
    assert_eq!(balance, 5);
    let log = whole_log(&store).await;
    assert_eq!(log.iter().map(|record| record.position()).collect::<Vec<_>>(), positions);
    assert_eq!(log[0].decode::<Moved>().expect("an event"), Moved { account: "a".into(), balance: 5 });
    assert_eq!(log[0].source.as_str(), "together");
    assert_eq!((&*log[0].kind, log[0].schema_v, &*log[0].key), ("Moved", 1, "a"));
    assert!(log[0].header("traceparent").is_some(), "an event says which trace it belongs to");
    assert_eq!(is_consistent(&store).await.get("a"), Some(&5));
}

/// Neither a refusal of the closure nor one of the database leaves anything, not even a used position.
pub async fn a_refusal_changes_nothing(stores: &dyn Stores) {
    let store = open(stores, "refusal").await;
    deposit(&store, "a", 5).await.expect("it commits");
    let refused: Result<i64, CallError> = store
        .transact(&cx(), async |tx: &mut Tx| {
            add(tx, "a", 1).await?;
            Err(CallError::not_run(CauseKind::NotAllowed, "no"))
        })
        .await;
    assert_eq!(refused.unwrap_err().cause().map(|cause| cause.kind), Some(CauseKind::NotAllowed));
    let broken = deposit(&store, "a", -6).await.unwrap_err();
    assert!(!broken.may_have_run(), "a broken constraint is certain: {broken:?}");
    let (_, positions) = deposit(&store, "a", 1).await.expect("it commits");
    assert_eq!(positions[0].pos.0, 2, "no position was used up");
    assert_eq!(is_consistent(&store).await.get("a"), Some(&6));
}

/// What a transaction sends without waiting is there with the rest of it or not at all, in its order; and two questions at once are
/// answered in theirs.
pub async fn what_is_sent_commits_with_the_rest(stores: &dyn Stores) {
    let store = open(stores, "sent").await;
    for account in ["a", "b"] {
        deposit(&store, account, 1).await.expect("it commits");
    }
    let send = async |balances: &[i64], then: Then| -> Result<(), CallError> {
        store
            .transact(&cx(), async |tx: &mut Tx| {
                add(tx, "c", 1).await?;
                for (balance, account) in balances.iter().zip(["a", "b"].iter().cycle()) {
                    let sent = tx.send(SET, params![*account, balance]).await;
                    if then != Then::CommitUnheard {
                        sent?;
                    }
                }
                match then {
                    Then::Refuse => Err(CallError::not_run(CauseKind::NotAllowed, "no")),
                    Then::Commit | Then::CommitUnheard => Ok(()),
                    Then::Ask => {
                        let (a,): (i64,) = tx.query_one(BALANCE, params!["a"]).await?;
                        assert_eq!(
                            Some(&a),
                            balances.iter().step_by(2).next_back(),
                            "the last that was sent for it"
                        );
                        Ok(())
                    }
                }
            })
            .await
    };
    // More than wait at once anywhere, and they end in order.
    let many: Vec<i64> = (1..=200).collect();
    send(&many, Then::Ask).await.expect("it commits");
    send(&[7, 8], Then::Commit).await.expect("it commits");
    assert!(send(&[9, 9], Then::Refuse).await.is_err());
    let below_zero = |n: usize| (0..80).map(|at| if at == n { -1 } else { 9 }).collect::<Vec<i64>>();
    for n in [0, 1, 40, 79] {
        for then in [Then::Commit, Then::Ask, Then::CommitUnheard] {
            let broken = send(&below_zero(n), then).await.unwrap_err();
            assert!(!broken.may_have_run(), "a broken constraint is certain: {broken:?}");
        }
    }
    let (a, b): (Vec<(i64,)>, Vec<(i64,)>) = store
        .read(async |read: &mut Read| read.query_two((BALANCE, params!["a"]), (BALANCE, params!["b"])).await)
        .await
        .expect("a read");
    assert_eq!((a, b), (vec![(7,)], vec![(8,)]));
    let log = whole_log(&store).await;
    assert_eq!(log.iter().filter(|record| &*record.key == "c").count(), 2, "the others left no event");
}

/// What a part of a transaction sends is undone with the part, and fails it and nothing else.
pub async fn what_a_part_sends_is_the_parts(stores: &dyn Stores) {
    let store = open(stores, "sent_by_a_part").await;
    for account in ["a", "b", "c"] {
        deposit(&store, account, 1).await.expect("it commits");
    }
    store
        .transact(&cx(), async |tx: &mut Tx| {
            tx.send(SET, params!["a", 5]).await?;
            let broken: Result<(), CallError> = tx
                .nested(async |tx: &mut Tx| {
                    tx.send(SET, params!["b", 6]).await?;
                    Ok(tx.send(SET, params!["a", -1]).await?)
                })
                .await;
            assert!(broken.is_err_and(|error| !error.may_have_run()), "below zero");
            let refused: Result<(), CallError> = tx
                .nested(async |tx: &mut Tx| {
                    tx.send(SET, params!["b", 7]).await?;
                    Err(CallError::not_run(CauseKind::NotAllowed, "no"))
                })
                .await;
            assert!(refused.is_err());
            let unheard: Result<(), CallError> = tx
                .nested(async |tx: &mut Tx| {
                    tx.send(SET, params!["b", 9]).await?;
                    let _unheard = tx.send(SET, params!["a", -1]).await;
                    Ok(())
                })
                .await;
            assert!(unheard.is_err(), "whoever looks away");
            tx.nested(async |tx: &mut Tx| Ok(tx.send(SET, params!["c", 8]).await?)).await?;
            add(tx, "d", 1).await.map(drop)
        })
        .await
        .expect("it commits");
    let found = balances(&store).await;
    let wanted = [("a", 5), ("b", 1), ("c", 8), ("d", 1)].map(|(account, n)| (account.to_owned(), n));
    assert_eq!(found.into_iter().collect::<Vec<_>>(), wanted);
}

/// A part that fails is undone with its events; what was before it and after it stays.
pub async fn a_nested_part_that_fails_takes_its_events_along(stores: &dyn Stores) {
    let store = open(stores, "nested").await;
    store
        .transact(&cx(), async |tx: &mut Tx| {
            add(tx, "a", 1).await?;
            let failed: Result<i64, CallError> = tx
                .nested(async |tx: &mut Tx| {
                    add(tx, "b", 1).await?;
                    add(tx, "a", -5).await
                })
                .await;
            assert!(failed.is_err(), "below zero");
            tx.nested(async |tx: &mut Tx| {
                add(tx, "c", 1).await?;
                let inner: Result<i64, CallError> = tx
                    .nested(async |tx: &mut Tx| {
                        add(tx, "d", 1).await?;
                        Err(CallError::not_run(CauseKind::NotAllowed, "no"))
                    })
                    .await;
                assert!(inner.is_err());
                Ok(())
            })
            .await?;
            add(tx, "a", 1).await.map(drop)
        })
        .await
        .expect("it commits");
    let balances = is_consistent(&store).await;
    assert_eq!(balances.into_iter().collect::<Vec<_>>(), [("a".to_owned(), 2), ("c".to_owned(), 1)]);
    assert_eq!(whole_log(&store).await.len(), 3);
}

/// A closure that panics leaves nothing, and the store serves the next one.
pub async fn a_panic_undoes_everything(stores: &dyn Stores) {
    let store = open(stores, "panic").await;
    let panicking = store.clone();
    let task = tokio::spawn(async move {
        let _: Result<(), CallError> = panicking
            .transact(&cx(), async |tx: &mut Tx| {
                add(tx, "a", 1).await?;
                panic!("as it was told to")
            })
            .await;
    });
    assert!(task.await.unwrap_err().is_panic(), "the panic is the caller's");
    deposit(&store, "b", 1).await.expect("the store goes on");
    assert_eq!(is_consistent(&store).await.into_keys().collect::<Vec<_>>(), ["b"]);
}

/// A transaction whose future is dropped, before its first poll or after it, happened wholly or not at all.
pub async fn a_dropped_transaction_is_whole_or_nothing(stores: &dyn Stores) {
    let store = open(stores, "dropped").await;
    drop(deposit(&store, "never", 1));
    for n_polls in 1..6 {
        let account = format!("after-{n_polls}");
        let mut deposit = pin!(deposit(&store, &account, 1));
        let mut polled = 0;
        poll_fn(|task| {
            polled += 1;
            if deposit.as_mut().poll(task).is_ready() || polled == n_polls {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    }
    deposit(&store, "last", 1).await.expect("the store goes on");
    let balances = is_consistent(&store).await;
    assert!(!balances.contains_key("never"), "nothing runs before it is polled");
    assert_eq!(balances.get("last"), Some(&1));
}

/// A `transact` inside a `transact` is refused in words, not a deadlock.
pub async fn a_transaction_inside_another_is_refused(stores: &dyn Stores) {
    let store = open(stores, "inside").await;
    let inner = store
        .transact(&cx(), async |tx: &mut Tx| {
            add(tx, "a", 1).await?;
            Ok(deposit(&store, "b", 1).await.unwrap_err().to_string())
        })
        .await
        .expect("the outer one commits");
    assert!(inner.contains("`transact` inside a `transact`"), "{inner}");
    assert_eq!(is_consistent(&store).await.into_keys().collect::<Vec<_>>(), ["a"]);
}

/// Where a transaction cannot wait, one that does is undone and told so; where it can, it waits and commits.
pub async fn waiting_is_refused_where_nothing_can_wait(stores: &dyn Stores) {
    let store = open(stores, "waiting").await;
    let waited = store
        .transact(&cx(), async |tx: &mut Tx| {
            add(tx, "a", 1).await?;
            tokio::task::yield_now().await;
            add(tx, "a", 1).await
        })
        .await;
    if store.backend().suspends() {
        assert_eq!(waited.expect("it waits"), 2);
    } else {
        let kind = waited.unwrap_err().cause().map(|cause| cause.kind);
        assert_eq!(kind, Some(CauseKind::WaitedInTransaction));
        assert!(is_consistent(&store).await.is_empty());
    }
    deposit(&store, "b", 1).await.expect("the store goes on");
}

/// Two queries of one read see the same state, whatever is committed between them.
pub async fn a_read_sees_one_state(stores: &dyn Stores) {
    let store = open(stores, "snapshot").await;
    deposit(&store, "a", 1).await.expect("it commits");
    let mut session = store.backend().snapshot().await.expect("a snapshot");
    let sql = "SELECT balance FROM account WHERE id = $1";
    let before = session.query(sql, params!["a"]).await.expect("a query");
    deposit(&store, "a", 1).await.expect("a read stops nobody from writing");
    assert_eq!(session.query(sql, params!["a"]).await.expect("a query"), before, "the same state");
    drop(session);
    assert_eq!(balances(&store).await.get("a"), Some(&2), "the next read sees the new one");
}

/// A read that writes fails, and nothing is written.
pub async fn a_read_cannot_write(stores: &dyn Stores) {
    let store = open(stores, "reading").await;
    let written: Result<Vec<(i64,)>, StoreError> = store
        .read(async |read: &mut Read| {
            read.query("INSERT INTO account (id, balance) VALUES ('a', 1) RETURNING balance", params![]).await
        })
        .await;
    assert!(written.is_err());
    assert!(balances(&store).await.is_empty());
}

/// An event above its limit fails the transaction, rows and all.
pub async fn what_is_too_large_is_refused(stores: &dyn Stores) {
    let store = open(stores, "large").await;
    // In the event alone: not every database takes a key of that size.
    let announce = async |bytes: usize| {
        let large = Moved { account: "x".repeat(bytes), balance: 1 };
        let announced: Result<(), CallError> = store
            .transact(&cx(), async |tx: &mut Tx| {
                add(tx, "a", 1).await?;
                tx.emit(large);
                Ok(())
            })
            .await;
        announced
    };
    let refused = announce(PAYLOAD_BYTES_MAX).await.unwrap_err();
    assert_eq!(refused.cause().map(|cause| cause.kind), Some(CauseKind::TooLarge));
    assert!(is_consistent(&store).await.is_empty());
    announce(PAYLOAD_BYTES_MAX / 2).await.expect("one below the limit commits");
    assert_eq!(balances(&store).await.get("a"), Some(&1));
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Foreign {}

impl Event for Foreign {
    const NAME: &'static str = "Foreign";
    const TOPIC: &'static str = "somebody.elses";
    const VERSION: u32 = 1;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed("key")
    }

    fn spec() -> EventSpec {
        EventSpec {
            name: Self::NAME.to_owned(),
            topic: Self::TOPIC.to_owned(),
            version: Self::VERSION,
            key: String::new(),
            docs: String::new(),
            schema: schemars::schema_for!(Foreign).into(),
        }
    }
}

/// An event of a topic that the service does not own fails the transaction, rows and all.
pub async fn a_foreign_topic_is_refused(stores: &dyn Stores) {
    let store = open(stores, "foreign").await;
    let refused: CallError = store
        .transact(&cx(), async |tx: &mut Tx| {
            add(tx, "a", 1).await?;
            tx.emit(Foreign {});
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("somebody.elses"), "{refused}");
    assert!(is_consistent(&store).await.is_empty());
}

/// A part that fails takes its own refused events along and nobody else's: one that was refused before it still fails
/// the transaction, and one that was refused inside it does not.
pub async fn a_part_that_fails_hides_no_refused_event(stores: &dyn Stores) {
    let store = open(stores, "hidden").await;
    let part = async |tx: &mut Tx| -> Result<(), CallError> {
        tx.emit(Foreign {});
        Err(CallError::not_run(CauseKind::NotAllowed, "no"))
    };
    let before: Result<(), CallError> = store
        .transact(&cx(), async |tx: &mut Tx| {
            add(tx, "a", 1).await?;
            tx.emit(Foreign {});
            assert!(tx.nested(part).await.is_err());
            Ok(())
        })
        .await;
    assert!(
        before.is_err_and(|error| error.to_string().contains("somebody.elses")),
        "an event would be lost"
    );
    assert!(is_consistent(&store).await.is_empty());
    store
        .transact(&cx(), async |tx: &mut Tx| {
            add(tx, "a", 1).await?;
            assert!(tx.nested(part).await.is_err());
            Ok::<(), CallError>(())
        })
        .await
        .expect("what was undone is not missed");
    assert_eq!(is_consistent(&store).await.get("a"), Some(&1));
}

/// A text of several statements is refused: only the first of them would run.
pub async fn two_statements_in_one_text_are_refused(stores: &dyn Stores) {
    let store = open(stores, "two").await;
    let sql = "INSERT INTO account (id, balance) VALUES ('a', 1); INSERT INTO account (id, balance) VALUES ('b', 1)";
    let refused: Result<u64, CallError> =
        store.transact(&cx(), async |tx: &mut Tx| Ok(tx.execute(sql, params![]).await?)).await;
    assert!(refused.is_err(), "half of it would be left out in silence: {refused:?}");
    let sql = "SELECT balance FROM account; SELECT balance FROM account";
    let refused: Result<Vec<(i64,)>, StoreError> =
        store.read(async |read: &mut Read| read.query(sql, params![]).await).await;
    assert!(refused.is_err());
    let sql = "INSERT INTO account (id, balance) VALUES ('c', 1); -- and that is all\n ";
    let fine: Result<u64, CallError> =
        store.transact(&cx(), async |tx: &mut Tx| Ok(tx.execute(sql, params![]).await?)).await;
    assert_eq!(fine.expect("a semicolon and words at the end are fine"), 1);
    assert_eq!(balances(&store).await.into_keys().collect::<Vec<_>>(), ["c"]);
}

/// Values of every type come back as they were; parameters are found by number, in any order and more than once.
pub async fn values_come_back_as_they_were(stores: &dyn Stores) {
    type Values = (Option<String>, i64, bool, f64, String, Vec<u8>);
    let store = open(stores, "values").await;
    store
        .transact(&cx(), async |tx: &mut Tx| {
            let sql = match tx.dialect() {
                crate::Dialect::Sqlite => {
                    "CREATE TABLE v (a TEXT, b BIGINT, c BOOLEAN, d REAL, e TEXT, f BLOB)"
                }
                crate::Dialect::Postgres => {
                    "CREATE TABLE v (a TEXT, b BIGINT, c BOOLEAN, d DOUBLE PRECISION, e TEXT, f BYTEA)"
                }
            };
            tx.execute(sql, params![]).await?;
            let sql = "INSERT INTO v (f, e, d, c, b, a) VALUES ($6, $5, $4, $3, $2, $1)";
            let bytes: &[u8] = &[0, 255, 7];
            let values = params![None::<String>, i64::MIN, true, 0.1, "ü '; --", bytes];
            assert_eq!(tx.execute(sql, values).await?, 1);
            let sql = "SELECT a, b, c, d, e, f FROM v WHERE e = $1 AND e = $1";
            let found: Values = tx.query_one(sql, params!["ü '; --"]).await?;
            assert_eq!(found, (None, i64::MIN, true, 0.1, "ü '; --".to_owned(), bytes.to_vec()));
            Ok::<(), CallError>(())
        })
        .await
        .expect("it commits");
}

/// What was committed is counted, and so is who waits for somebody else's transaction, as long as it does.
pub async fn what_is_committed_and_who_waits_is_counted(stores: &dyn Stores) {
    let store = open(stores, "counted").await;
    let before = store.backend().activity().await;
    for _ in 0..3 {
        deposit(&store, "a", 1).await.expect("it commits");
    }
    deposit(&store, "a", -9).await.expect_err("below zero");
    let after = store.backend().activity().await;
    let commits = after.commits - before.commits;
    assert_eq!(after.transactions - before.transactions, 3, "not the one that failed");
    assert!((1..=3).contains(&commits), "{commits} COMMITs");
    assert_eq!(after.wal_bytes.map(|bytes| bytes > 0), before.wal_bytes.map(|_| true), "where there is one");

    let mut holder = store.backend().begin(Class::Call).await.expect("a turn");
    let sql = "UPDATE account SET balance = balance + 1 WHERE id = $1";
    holder.execute(sql, params!["a"]).await.expect("a row");
    let mut waiter = pin!(deposit(&store, "a", 1));
    let seen = async {
        while store.backend().activity().await.waiting == Some(0) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = &mut waiter => panic!("somebody else has the row"),
        seen = timeout(PATIENCE, seen) => seen.expect("one waits"),
    }
    holder.roll_back().await.expect("it is undone");
    waiter.await.expect("it commits");
    assert_eq!(store.backend().activity().await.waiting, Some(0), "nobody any more");
}
