//! F-41: the disk of the server is full, at whatever point of a transaction.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use divisi_contract::{CallError, CauseKind};
use divisi_servers::postgres::Settings;
use divisi_store::conformance::account::{deposit, is_consistent};
use divisi_store::{Class, Store, StoreError, StoreErrorKind, Tx, TxFailed, params};
use tokio::task::JoinSet;

use crate::fixture::{Databases, eventually};

/// Room for a database, and no more.
const DISK_BYTES: usize = 24 << 20;
const PAGE: usize = 8_192;
const WRITERS: usize = 4;

/// A disk of its own for the databases of a server, whose write-ahead log lies elsewhere. Taken away when it is dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// None where this process may not mount.
    fn mount(server: &Path) -> Option<SmallDisk> {
        let owner = fs::metadata(server.join("data")).expect("the server's data");
        let dir = tempfile::tempdir().expect("a directory");
        let options = format!("size={DISK_BYTES},mode=0700,uid={},gid={}", owner.uid(), owner.gid());
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(SmallDisk(dir))
    }

    fn filler(&self) -> PathBuf {
        // Beside what the server keeps there, which is in a directory of its own.
        self.0.path().join("filler")
    }

    /// Leaves so many pages free.
    fn leave(&self, pages: usize) {
        self.clear();
        let mut filler = fs::File::create(self.filler()).expect("a file");
        while filler.write_all(&[1; PAGE]).is_ok() {}
        let length = filler.metadata().expect("a file").len();
        filler.set_len(length.saturating_sub((pages * PAGE) as u64)).expect("a shorter file");
    }

    fn clear(&self) {
        // Truncated first: a process that another test starts may hold the file for a moment, and its pages with it.
        let _ = fs::File::create(self.filler());
        let _ = fs::remove_file(self.filler());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

/// What was answered to those who wrote.
#[derive(Debug, Default)]
struct Answered {
    done: BTreeSet<String>,
    unknown: BTreeSet<String>,
    n_refused: usize,
}

impl Answered {
    /// Some who write at once, each an account whose name takes room in three places.
    async fn write(&mut self, store: &Store, round: &str) {
        let mut writing = JoinSet::new();
        for n in 0..WRITERS {
            let (store, account) = (store.clone(), format!("{round}-{n}-{}", noise()));
            writing.spawn(async move {
                let answer = deposit(&store, &account, 1).await;
                (account, answer.map(drop))
            });
        }
        for (account, answer) in writing.join_all().await {
            match answer {
                Ok(()) => {
                    self.done.insert(account);
                }
                Err(CallError::MayHaveRun(_)) => {
                    self.unknown.insert(account);
                }
                Err(error) => {
                    let kind = error.cause().map(|cause| cause.kind);
                    assert!(matches!(kind, Some(CauseKind::Store | CauseKind::Conflict)), "{error}");
                    self.n_refused += 1;
                }
            }
        }
    }

    /// What was acknowledged is there, what was refused is not, and the log says the same.
    async fn is_true(&self, store: &Store) {
        let found: BTreeSet<String> = is_consistent(store).await.into_keys().collect();
        assert!(self.done.is_subset(&found), "lost: {:?}", self.done.difference(&found).count());
        let more = found.difference(&self.done).filter(|more| !self.unknown.contains(*more));
        assert_eq!(more.count(), 0, "refused and yet there");
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
    let Some(disk) = SmallDisk::mount(server.directory()) else {
        eprintln!("NOT TESTED: this process may not mount, so the disk of a server cannot be made small");
        return;
    };
    let databases = Databases::on(server.clone());
    let database = databases.database("bank");
    let place = disk.0.path().display();
    server.sql(format!("CREATE TABLESPACE small LOCATION '{place}'")).await.expect("a tablespace");
    let made = format!("CREATE DATABASE {database} ENCODING 'UTF8' TEMPLATE template0 TABLESPACE small");
    server.sql(made).await.expect("a database");
    let (store, _) = databases.bank().await;
    let mut answered = Answered::default();
    // From none to more than all of them need: the disk is full at every point in between.
    for (round, pages) in (0..20).chain([0]).enumerate() {
        disk.leave(pages);
        for again in 0..3 {
            answered.write(&store, &format!("full-{round}-{again}")).await;
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
