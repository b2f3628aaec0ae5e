//! How much of a lane is one transaction: a tenth of a second's work, and less while calls are under way.

use std::sync::Arc;
use std::time::Duration;

use divisi_contract::Event;
use divisi_events::consumer::Consumer;
use divisi_events::{Failure, Handlers, Listeners, Log, LogOptions};
use divisi_store::conformance::account::{Moved, deposit, schema};
use divisi_store::{Class, Migration, Read, Schema, Store, StoreError, StoreName, Stores, Tx, params};
use tokio::sync::oneshot;

use crate::fixture::{databases, eventually};

const EVENTS: i64 = 40;
/// At the least: a busy machine takes longer for each, and has smaller batches.
const WORK: Duration = Duration::from_millis(10);
const EFFECTS: Migration = Migration::new(1, "effects", "CREATE TABLE effect (balance BIGINT NOT NULL)");

async fn effect(tx: &mut Tx, moved: &Moved) -> Result<(), Failure> {
    tokio::time::sleep(WORK).await;
    tx.execute("INSERT INTO effect (balance) VALUES ($1)", params![moved.balance]).await?;
    Ok(())
}

/// How many events took effect, and how many of them in the largest transaction.
async fn applied(store: &Store) -> (i64, i64) {
    let found: Result<(i64, i64), StoreError> = store
        .read(async |read: &mut Read| {
            let sql = "SELECT coalesce(sum(n), 0)::bigint, coalesce(max(n), 0) \
                       FROM (SELECT count(*) AS n FROM effect GROUP BY xmin::text) AS batch";
            read.query_one(sql, params![]).await
        })
        .await;
    found.expect("the database answers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_takes_a_tenth_of_a_second_and_a_fifth_of_that_beside_calls() {
    let databases = databases().await;
    let bank = databases.stores().open(&StoreName::of("bank"), &schema()).await.expect("it opens");
    for _ in 0..EVENTS {
        deposit(&bank, "a", 1).await.expect("it commits");
    }
    let listeners = Listeners::none().allow(Moved::TOPIC, "alone").allow(Moved::TOPIC, "beside");
    let log = Log::new(bank, listeners, LogOptions::default());
    for beside_call in [false, true] {
        let name = if beside_call { "beside" } else { "alone" };
        let effects = Schema { migrations: vec![EFFECTS], ..Schema::default() };
        let ledger = databases.stores().open(&StoreName::of(name), &effects).await.expect("it opens");
        let call = match beside_call {
            true => Some(ledger.backend().begin(Class::Call).await.expect("a connection")),
            false => None,
        };
        let handlers = Handlers::new().react::<Moved, _>(effect);
        let consumer =
            Consumer::new(name, ledger.clone(), handlers).from("bank", Moved::TOPIC, Arc::clone(&log) as _);
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(consumer.run(async move {
            let _ = stopped.await;
        }));
        let all = |found: &(i64, i64)| found.0 == EVENTS;
        let (_, largest) = eventually("all take effect", async || applied(&ledger).await, all).await;
        if beside_call {
            // Twenty milliseconds are over after the second.
            assert!(largest <= 2, "{largest} events in a transaction while a call is under way");
        } else {
            assert!(largest >= 4, "no more than {largest} events in a transaction while nobody calls");
        }
        drop((call, stop));
        task.await.expect("no panic");
    }
}
