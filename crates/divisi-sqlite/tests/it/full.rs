//! F-41: the disk is full, at whatever point of a transaction.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use divisi_contract::CallError;
use divisi_sqlite::{Options, Sqlite};
use divisi_store::conformance::account::{add, cx, deposit};
use divisi_store::conformance::full::{Answered, SmallDisk};
use divisi_store::{Class, Epoch, Store, Tx, params};
use rusqlite::Connection;

use crate::fixture::{name, poll_each_once, schema};

/// Room for the database and for its write-ahead log.
const DISK_BYTES: usize = 12 << 20;
const PAGE: usize = 4_096;

type Writing<'a> = Pin<Box<dyn Future<Output = Result<i64, CallError>> + Send + 'a>>;

/// Three who share a group, each with a row that needs room.
async fn three(answered: &mut Answered, store: &Store, round: &str) {
    let accounts: Vec<String> = (0..3).map(|n| format!("{round}-{n}")).collect();
    let cx = cx();
    let mut members: Vec<Writing<'_>> = Vec::new();
    for account in &accounts {
        members.push(Box::pin(store.transact(&cx, async move |tx: &mut Tx| {
            tx.execute("INSERT INTO body (bytes) VALUES (zeroblob(9000))", params![]).await?;
            add(tx, account, 1).await
        })));
    }
    let at_once = poll_each_once(&mut members).await;
    for ((account, answer), member) in accounts.iter().zip(at_once).zip(members) {
        let answer = match answer {
            Some(answer) => answer,
            None => member.await,
        };
        answered.note(account.clone(), answer);
    }
}

fn is_sound(dir: &Path) {
    let connection = Connection::open(dir.join("bank.db")).expect("the file opens");
    let found: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("it can be checked");
    assert_eq!(found, "ok");
}

#[tokio::test]
async fn on_a_full_disk_every_answer_is_true_and_writes_go_on_when_there_is_room() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(disk) = SmallDisk::mount(dir.path(), &format!("size={DISK_BYTES}"), PAGE) else {
        eprintln!("this process may not mount: the page limit of SQLite has to do");
        return by_page_limit().await;
    };
    let sqlite = Sqlite::new(dir.path(), Options::default());
    let (store, backend) = sqlite.open_store(&name(), &schema()).await.expect("there is room");
    let mut answered = Answered::default();
    // From none to more than three members need: the disk is full at every point in between.
    for (round, pages) in (0..24).chain([0]).enumerate() {
        disk.leave(pages);
        three(&mut answered, &store, &format!("full-{round}")).await;
        let told = store.run(Class::Consumer, async |tx: &mut Tx| add(tx, "consumer", 0).await).await;
        if pages == 0 {
            assert!(told.is_err(), "there is no room for anything");
            assert!(store.backend().begin_epoch(Epoch(0)).await.is_err(), "nor for an epoch");
        }
        disk.clear();
        three(&mut answered, &store, &format!("free-{round}")).await;
        let last = format!("free-{round}-2");
        assert!(answered.done.contains(&last), "there is room again: {answered:?}");
    }
    assert!(answered.n_refused > 3, "{answered:?}");
    assert!(answered.unknown.len() < answered.n_refused, "a full disk is certain, mostly: {answered:?}");
    deposit(&store, "consumer", 1).await.expect("there is room");
    answered.done.insert("consumer".to_owned());
    answered.is_true(&store).await;
    let stats = backend.stats();
    assert!(stats.undone > 0, "{stats:?}");
    store.close().await;
    is_sound(dir.path());

    // Whoever starts on a full disk is told, and starts when there is room.
    disk.leave(0);
    let refused = sqlite.open_store(&name(), &schema()).await.map(drop).expect_err("an epoch needs room");
    assert!(refused.to_string().contains("bank.db"), "{refused}");
    disk.clear();
    let (store, _) = sqlite.open_store(&name(), &schema()).await.expect("there is room");
    answered.is_true(&store).await;
    store.close().await;
}

async fn by_page_limit() {
    let dir = tempfile::tempdir().expect("a directory");
    let sqlite = Sqlite::new(dir.path(), Options { pages_max: Some(120), ..Options::default() });
    let (store, _) = sqlite.open_store(&name(), &schema()).await.expect("there is room");
    let mut answered = Answered::default();
    while answered.n_refused == 0 {
        let round = format!("round-{}", answered.done.len());
        three(&mut answered, &store, &round).await;
    }
    answered.is_true(&store).await;
    store.close().await;
    let sqlite = Sqlite::new(dir.path(), Options::default());
    let (store, _) = sqlite.open_store(&name(), &schema()).await.expect("there is room");
    three(&mut answered, &store, "again").await;
    assert!(answered.done.contains("again-2"), "there is room again: {answered:?}");
    answered.is_true(&store).await;
    store.close().await;
    is_sound(dir.path());
}

#[tokio::test]
async fn within_a_page_limit_every_answer_is_true() {
    by_page_limit().await;
}
