//! A projection in PostgreSQL: each version is a schema, and readers go from one to the next.

use std::sync::Arc;

use divisi_contract::{Event, ServiceName};
use divisi_events::projection::{Input, Projection, ProjectionSpec};
use divisi_events::{Failure, Fold, Handlers, Listeners, Log, LogOptions};
use divisi_postgres::Postgres;
use divisi_store::conformance::account::{Moved, deposit, schema};
use divisi_store::{Migration, Read, Schema, Store, StoreError, StoreName, Stores, params};
use tokio::sync::oneshot;

use crate::fixture::{databases, eventually};

const TOTALS: Migration = Migration::new(
    1,
    "totals",
    "CREATE TABLE total (account TEXT PRIMARY KEY, balance BIGINT NOT NULL, n BIGINT NOT NULL)",
);

async fn total(fold: &mut Fold<'_>, moved: &Moved) -> Result<(), Failure> {
    let sql = "INSERT INTO total (account, balance, n) VALUES ($1, $2, 1) \
               ON CONFLICT (account) DO UPDATE SET balance = excluded.balance, n = total.n + 1";
    fold.execute(sql, params![moved.account, moved.balance]).await?;
    Ok(())
}

async fn open(stores: &Postgres, control: &Store) -> Projection {
    let spec = ProjectionSpec {
        service: ServiceName::from("desk"),
        name: "totals",
        shape: 1,
        migrations: vec![TOTALS],
        handlers: Handlers::new().fold::<Moved, _>(total),
    };
    Projection::open(spec, Arc::new(stores.clone()), control.clone()).await.expect("the projection opens")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_ends_in_a_new_schema_that_has_everything_and_the_next_start_finds_it() {
    let stores = databases().await.stores();
    let bank = stores.open(&StoreName::of("bank"), &schema()).await.expect("the bank opens");
    let control = stores.open(&StoreName::of("desk"), &Schema::default()).await.expect("the desk opens");
    let log = Log::new(bank.clone(), Listeners::none().allow(Moved::TOPIC, "desk"), LogOptions::default());
    for n in 0..60 {
        deposit(&bank, &format!("account-{}", n % 6), 1).await.expect("it commits");
    }
    for start in 0..2 {
        let projection = open(&stores, &control).await;
        let (model, rebuild) = (projection.read_model(), projection.rebuild());
        let input =
            Input { source: "bank".into(), topic: Moved::TOPIC, feed: Arc::clone(&log) as _, carrier: None };
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(projection.run(vec![input], async move {
            let _ = stopped.await;
        }));
        let seen = async || {
            let row: Result<(Option<i64>, Option<i64>), StoreError> = model
                .read(async |read: &mut Read| {
                    let sql = "SELECT CAST(sum(balance) AS bigint), CAST(sum(n) AS bigint) FROM total";
                    read.query_one(sql, &[]).await
                })
                .await;
            row.expect("the read model can be read")
        };
        let n = 60 + 60 * start;
        eventually("everything is folded once", seen, |seen| *seen == (Some(n), Some(n))).await;
        if start == 0 {
            assert!(rebuild.ask());
            let second = StoreName::projection("desk", "totals", 2);
            let there = async || stores.exists(&second).await.expect("a look");
            eventually("the new version is there", there, |there| *there).await;
            for n in 0..60 {
                deposit(&bank, &format!("account-{}", n % 6), 1).await.expect("it commits");
            }
            let active = async || {
                let row: Result<(u32,), StoreError> = control
                    .read(async |read: &mut Read| {
                        read.query_one("SELECT active FROM divisi_projection", &[]).await
                    })
                    .await;
                row.expect("the row").0
            };
            eventually("readers get the new version", active, |active| *active == 2).await;
            eventually("everything is folded once", seen, |seen| *seen == (Some(120), Some(120))).await;
        }
        let _ = stop.send(());
        task.await.expect("no panic").expect("it ends well");
    }
}
