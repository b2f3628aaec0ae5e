//! F-41: the disk of the server is full, at whatever point of a transaction.

use std::fs;
use std::os::unix::fs::MetadataExt;

use divisi_servers::postgres::Settings;
use divisi_store::conformance::account::deposit;
use divisi_store::conformance::full::{Answered, SmallDisk};
use divisi_store::{Class, Store, StoreError, StoreErrorKind, Tx, TxFailed, params};
use tokio::task::JoinSet;

use crate::fixture::{Databases, eventually};

/// Room for a database, and no more.
const DISK_BYTES: usize = 24 << 20;
const PAGE: usize = 8_192;
const WRITERS: usize = 4;

/// Some who write at once, each an account whose name takes room in three places.
async fn write(answered: &mut Answered, store: &Store, round: &str) {
    let mut writing = JoinSet::new();
    for n in 0..WRITERS {
        let (store, account) = (store.clone(), format!("{round}-{n}-{}", noise()));
        writing.spawn(async move {
            let answer = deposit(&store, &account, 1).await;
            (account, answer.map(|(balance, _)| balance))
        });
    }
    for (account, answer) in writing.join_all().await {
        answered.note(account, answer);
    }
}

/// Text that no compression makes small, and that an index can hold.
fn noise() -> String {
    (0..1_500).map(|_| fastrand::alphanumeric()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_servers_full_disk_every_answer_is_true_and_writes_go_on_when_there_is_room() {
    // A server of its own: what lies on a disk that is taken away would not be forgiven.
    let server = Settings::new().conf("fsync = off").start().await.expect("PostgreSQL starts");
    // For its databases; its write-ahead log lies elsewhere.
    let owner = fs::metadata(server.directory().join("data")).expect("the server's data");
    let options = format!("size={DISK_BYTES},mode=0700,uid={},gid={}", owner.uid(), owner.gid());
    let dir = tempfile::tempdir().expect("a directory");
    let Some(disk) = SmallDisk::mount(dir.path(), &options, PAGE) else {
        eprintln!("NOT TESTED: this process may not mount, so the disk of a server cannot be made small");
        return;
    };
    let databases = Databases::on(server.clone());
    let database = databases.database("bank");
    let place = dir.path().display();
    server.sql(format!("CREATE TABLESPACE small LOCATION '{place}'")).await.expect("a tablespace");
    let made = format!("CREATE DATABASE {database} ENCODING 'UTF8' TEMPLATE template0 TABLESPACE small");
    server.sql(made).await.expect("a database");
    let (store, _) = databases.bank().await;
    let mut answered = Answered::default();
    // From none to more than all of them need: the disk is full at every point in between.
    for (round, pages) in (0..20).chain([0]).enumerate() {
        disk.leave(pages);
        for again in 0..3 {
            write(&mut answered, &store, &format!("full-{round}-{again}")).await;
        }
        disk.clear();
        eventually(
            "writes go on when there is room",
            async || deposit(&store, "after", 1).await.map(drop),
            Result::is_ok,
        )
        .await
        .expect("it commits");
    }
    answered.done.insert("after".to_owned());
    assert!(answered.n_refused > 20 && answered.done.len() > 20, "{} refused", answered.n_refused);
    assert_eq!(answered.unknown.len(), 0, "a server that is full says so before COMMIT");
    // A consumer hears the same, and its transaction leaves nothing.
    disk.leave(0);
    let fill: Result<_, TxFailed<StoreError>> = store
        .run(Class::Consumer, async |tx: &mut Tx| {
            for _ in 0..200 {
                tx.execute("INSERT INTO account (id, balance) VALUES ($1, 1)", params![noise()]).await?;
            }
            Ok(())
        })
        .await;
    let Err(TxFailed::Body(error)) = fill else { panic!("there is no room: {fill:?}") };
    assert_eq!(error.kind, StoreErrorKind::Full, "{error:?}");
    disk.clear();
    answered.is_true(&store).await;
    store.close().await;
    server.kill().await.expect("it runs");
}
