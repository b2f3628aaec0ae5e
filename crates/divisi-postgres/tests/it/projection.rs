//! A projection in PostgreSQL: each version is a schema, and readers go from one to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use divisi_contract::{Event, ServiceName};
use divisi_events::projection::{Input, Projection, ProjectionError, ProjectionSpec, ReadModel, Rebuild};
use divisi_events::{Failure, Fold, Handlers, Listeners, Log, LogOptions};
use divisi_postgres::Postgres;
use divisi_store::conformance::account::{Moved, deposit, schema};
use divisi_store::{Migration, Read, Schema, Store, StoreError, StoreName, Stores, params};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::fixture::{Databases, databases, eventually, eventually_within};

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

/// What the program's next version adds, whose shape is 2.
const NEXT: Migration =
    Migration::new(2, "next", "ALTER TABLE total ADD COLUMN next BIGINT NOT NULL DEFAULT 1");

async fn open(stores: &Postgres, control: &Store) -> Projection {
    open_as(stores, control, 1).await
}

async fn open_as(stores: &Postgres, control: &Store, shape: u32) -> Projection {
    let spec = ProjectionSpec {
        service: ServiceName::from("desk"),
        name: "totals",
        shape,
        migrations: if shape == 1 { vec![TOTALS] } else { vec![TOTALS, NEXT] },
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

/// A bank whose log the desk may read, with databases of their own, and what the test does there.
struct World {
    databases: Databases,
    bank: Store,
    log: Arc<Log>,
    n: AtomicI64,
}

/// The schemas of the desk's versions.
const VERSIONS: &str =
    "SELECT string_agg(nspname, ' ' ORDER BY nspname) FROM pg_namespace WHERE nspname LIKE 'totals_v%'";
/// Which version readers see.
const ACTIVE: &str = "SELECT active FROM divisi_projection";

impl World {
    async fn begin() -> World {
        let databases = databases().await;
        let bank = databases.stores().open(&StoreName::of("bank"), &schema()).await.expect("the bank opens");
        let log =
            Log::new(bank.clone(), Listeners::none().allow(Moved::TOPIC, "desk"), LogOptions::default());
        World { databases, bank, log, n: AtomicI64::new(0) }
    }

    async fn start(&self) -> Instance {
        self.start_as(1).await
    }

    async fn start_as(&self, shape: u32) -> Instance {
        Instance::start(&self.databases, &self.log, shape).await
    }

    /// What the desk's database answers.
    async fn desk(&self, sql: &str) -> String {
        let answer = self.databases.server.sql_in(&self.databases.database("desk"), sql).await;
        answer.expect("a look").trim().to_owned()
    }

    /// Pays in so many times more; how often that was in all.
    async fn pay(&self, times: usize) -> i64 {
        for _ in 0..times {
            let n = self.n.fetch_add(1, Ordering::Relaxed);
            deposit(&self.bank, &format!("account-{}", n % 6), 1).await.expect("it commits");
        }
        self.n.load(Ordering::Relaxed)
    }
}

/// One of several instances, and somebody who reads from it all the time.
struct Instance {
    control: Store,
    model: ReadModel,
    rebuild: Rebuild,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ProjectionError>>,
    over: Arc<AtomicBool>,
    reading: JoinHandle<()>,
}

async fn seen(model: &ReadModel) -> i64 {
    let sql = "SELECT coalesce(CAST(sum(n) AS bigint), 0) FROM total";
    let row: Result<(i64,), StoreError> =
        model.read(async |read: &mut Read| read.query_one(sql, &[]).await).await;
    row.expect("the read model can be read").0
}

impl Instance {
    async fn start(databases: &Databases, log: &Arc<Log>, shape: u32) -> Instance {
        let stores = databases.stores();
        let control = stores.open(&StoreName::of("desk"), &Schema::default()).await.expect("the desk opens");
        let projection = open_as(&stores, &control, shape).await;
        let (model, rebuild) = (projection.read_model(), projection.rebuild());
        let input =
            Input { source: "bank".into(), topic: Moved::TOPIC, feed: Arc::clone(log) as _, carrier: None };
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(projection.run(vec![input], async move {
            let _ = stopped.await;
        }));
        let over = Arc::new(AtomicBool::new(false));
        let reading = tokio::spawn({
            let (model, over) = (model.clone(), Arc::clone(&over));
            async move {
                let mut before = 0;
                while !over.load(Ordering::Acquire) {
                    let now = seen(&model).await;
                    assert!(now >= before, "readers had {before} and get {now}");
                    before = now;
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        });
        Instance { control, model, rebuild, stop, task, over, reading }
    }

    async fn stop(self) {
        self.over.store(true, Ordering::Release);
        self.reading.await.expect("readers have never less");
        let _ = self.stop.send(());
        self.task.await.expect("no panic").expect("it ends well");
    }
}

/// Two instances of a service: whoever is asked builds a version, both if both are, the other one goes after it; what is removed is read by
/// nobody, and readers of neither ever have less than before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_follow_each_other_from_version_to_version() {
    let world = World::begin().await;
    let (one, two) = (world.start().await, world.start().await);
    let versions = async || world.desk(VERSIONS).await;
    let asked: [&[&Instance]; 4] = [&[&one], &[&two], &[&one, &two], &[&two]];
    for (version, asked) in (2..).zip(asked) {
        for instance in asked {
            assert!(instance.rebuild.ask());
        }
        while world.desk(ACTIVE).await != version.to_string() {
            world.pay(1).await;
        }
        let n = world.pay(20).await;
        for instance in [&one, &two] {
            eventually("everything is folded once", async || seen(&instance.model).await, |seen| *seen == n)
                .await;
        }
        let both = format!("totals_v{} totals_v{version}", version - 1);
        eventually("the one before is kept, and no other", &versions, |there| *there == both).await;
    }
    one.stop().await;
    two.stop().await;
}

/// Whoever has built a version and is gone before the others have heard of it leaves it to them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_whose_builder_is_gone_is_gone_after_by_the_others() {
    let world = World::begin().await;
    let (builds, follows) = (world.start().await, world.start().await);
    world.pay(30).await;
    assert!(builds.rebuild.ask());
    eventually("the new version is read", async || world.desk(ACTIVE).await, |active| active == "2").await;
    builds.over.store(true, Ordering::Release);
    builds.task.abort();
    builds.control.close().await;
    let n = world.pay(30).await;
    eventually("the other one folds it", async || seen(&follows.model).await, |seen| *seen == n).await;
    // It reads the new version when it can make way for the next one.
    assert!(follows.rebuild.ask());
    let there = async || world.desk(VERSIONS).await;
    let minute = Duration::from_secs(60);
    eventually_within(minute, "it makes way", there, |there| there == "totals_v2 totals_v3").await;
    let n = world.pay(30).await;
    eventually("it goes on", async || seen(&follows.model).await, |seen| *seen == n).await;
    follows.stop().await;
}

/// What a version that was begun needs, it finds, though who began it is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_nobody_builds_any_more_is_built_by_who_is_left() {
    let world = World::begin().await;
    world.pay(30).await;
    let left = world.start().await;
    let stores = world.databases.stores();
    let control = stores.open(&StoreName::of("desk"), &Schema::default()).await.expect("the desk opens");
    let begun = open(&stores, &control).await.begin_and_close().await.expect("it is begun");
    control.close().await;
    assert_eq!(begun, 2);
    let minute = Duration::from_secs(60);
    eventually_within(
        minute,
        "it is built and read",
        async || world.desk(ACTIVE).await,
        |active| active == "2",
    )
    .await;
    eventually("it has everything", async || seen(&left.model).await, |seen| *seen == 30).await;
    left.stop().await;
}

/// Two programs of a service, whose projections have different shapes: each reads its own and neither holds the other one up. What is left
/// is removed in the end, also where a version was read that no row names any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_programs_read_two_shapes_and_hold_each_other_up_in_nothing() {
    let world = World::begin().await;
    world.pay(30).await;
    let older = world.start().await;
    eventually("the older program has it", async || seen(&older.model).await, |seen| *seen == 30).await;
    let newer = world.start_as(2).await;
    let row = async || world.desk("SELECT active || ' ' || shape FROM divisi_projection").await;
    let minute = Duration::from_secs(60);
    eventually_within(minute, "the newer one has its shape", row, |row| row == "2 2").await;
    assert_eq!(
        world.desk("SELECT count(*) FROM totals_v1.divisi_migration WHERE owner = 'service'").await,
        "1"
    );
    assert!(newer.rebuild.ask());
    eventually_within(minute, "it goes on beside the older one", row, |row| row == "3 2").await;
    let n = world.pay(30).await;
    for instance in [&older, &newer] {
        eventually("both go on", async || seen(&instance.model).await, |seen| *seen == n).await;
    }
    older.stop().await;
    assert!(newer.rebuild.ask());
    eventually_within(minute, "it goes on", row, |row| row == "4 2").await;
    let there = async || world.desk(VERSIONS).await;
    eventually("what nobody reads is removed", there, |there| there == "totals_v3 totals_v4").await;
    eventually("it has everything", async || seen(&newer.model).await, |seen| *seen == n).await;
    newer.stop().await;
}
