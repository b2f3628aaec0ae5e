//! PostgreSQL, started, killed, frozen, put back in time, followed.

use std::io::Read;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use divisi_servers::postgres::{Binaries, Replication, Settings, Shutdown};
use divisi_servers::{Error, Postgres};

const TABLE: &str = "CREATE TABLE seats (id bigint PRIMARY KEY)";
const COUNT: &str = "SELECT count(*) FROM seats";

async fn with_table() -> Postgres {
    let server = Settings::new().conf("fsync = off").start().await.unwrap();
    server.sql(TABLE).await.unwrap();
    server
}

#[tokio::test]
async fn a_killed_server_comes_back_at_the_same_address_with_its_data() {
    let server = with_table().await;
    let before = server.address();
    server.sql("INSERT INTO seats VALUES (1)").await.unwrap();
    server.kill().await.unwrap();
    assert!(TcpStream::connect(before).is_err(), "nobody listens");
    server.start().await.unwrap();
    assert_eq!(server.address(), before);
    assert_eq!(server.sql(COUNT).await.unwrap(), "1");
    // On a slow machine those who ask whether it is up have pushed the beginning out of the log's end.
    let log = server.log();
    let crashed = ["automatic recovery in progress", "redo done", "not yet accepting connections"];
    assert!(crashed.iter().any(|said| log.contains(said)), "it was a crash: {log}");
}

#[tokio::test]
async fn each_way_to_shut_down_leaves_a_server_that_starts_again() {
    let server = with_table().await;
    for (how, mark) in [
        (Shutdown::Smart, "database system was shut down at"),
        (Shutdown::Fast, "database system was shut down at"),
        (Shutdown::Immediate, "automatic recovery in progress"),
    ] {
        server.shut_down(how).await.unwrap();
        server.start().await.unwrap();
        let log = server.log();
        let is_pushed_out = log.contains("not yet accepting connections");
        assert!(log.contains(mark) || is_pushed_out, "{how:?}: {log}");
    }
}

#[tokio::test]
async fn a_frozen_server_is_silent_until_it_is_thawed() {
    let server = with_table().await;
    server.freeze().await.unwrap();
    // The kernel accepts for it; nothing answers.
    let mut stream = TcpStream::connect(server.address()).unwrap();
    std::io::Write::write_all(&mut stream, &[0, 0, 0, 8, 4, 210, 22, 47]).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut answer = [0; 1];
    let silence = stream.read(&mut answer).unwrap_err();
    assert_eq!(silence.kind(), std::io::ErrorKind::WouldBlock);
    server.thaw().await.unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"N", "it answers what was asked while it was frozen: no TLS here");
    server.freeze().await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn restored_data_is_as_if_everything_since_had_been_lost() {
    let server = with_table().await;
    let copies = tempfile::tempdir().unwrap();
    assert!(matches!(server.copy_data(copies.path().join("early")).await, Err(Error::Runs { .. })));
    server.sql("INSERT INTO seats VALUES (1)").await.unwrap();
    server.stop().await.unwrap();
    server.copy_data(copies.path().join("early")).await.unwrap();
    server.start().await.unwrap();
    server.sql("INSERT INTO seats VALUES (2), (3)").await.unwrap();
    server.kill().await.unwrap();
    server.copy_data(copies.path().join("late")).await.unwrap();
    for (copy, n_rows) in [("early", "1"), ("late", "3")] {
        server.restore_data(copies.path().join(copy)).await.unwrap();
        server.start().await.unwrap();
        assert_eq!(server.sql(COUNT).await.unwrap(), n_rows, "{copy}");
        server.stop().await.unwrap();
    }
}

#[tokio::test]
async fn two_servers_at_once_do_not_meet() {
    let (one, two) = tokio::join!(with_table(), with_table());
    one.sql("INSERT INTO seats VALUES (1)").await.unwrap();
    assert_ne!(one.address(), two.address());
    assert_eq!(two.sql(COUNT).await.unwrap(), "0");
    one.kill().await.unwrap();
    assert_eq!(two.sql(COUNT).await.unwrap(), "0", "it does not feel the other's end");
}

#[tokio::test]
async fn a_named_directory_is_found_again_with_its_data_and_its_port() {
    let directory = tempfile::tempdir().unwrap();
    let settings = || Settings::new().directory(directory.path());
    let first = settings().start().await.unwrap();
    first.sql(TABLE).await.unwrap();
    let address = first.address();
    drop(first);
    let second = settings().start().await.unwrap();
    assert_eq!(second.address(), address);
    assert_eq!(second.sql(COUNT).await.unwrap(), "0");
}

#[tokio::test]
async fn a_password_is_checked() {
    let server = Postgres::launch().await.unwrap();
    server.sql("CREATE ROLE guest LOGIN PASSWORD 'right'").await.unwrap();
    let psql = |password| {
        let url = server.url_for("guest", password, "postgres");
        let mut psql = Binaries::find().unwrap().command("psql");
        psql.args(["--dbname", &url, "--no-password", "--command", "SELECT 1"]).output().unwrap()
    };
    assert!(psql("right").status.success());
    let refused = String::from_utf8(psql("wrong").stderr).unwrap();
    assert!(refused.contains("password authentication failed"), "{refused}");
}

#[tokio::test]
async fn a_file_beside_the_data_is_the_servers_alone() {
    let settings = Settings::new().file("extra.conf", "work_mem = '7MB'").conf("include 'extra.conf'");
    let server = settings.start().await.unwrap();
    assert_eq!(server.sql("SHOW work_mem").await.unwrap(), "7MB");
    let file = server.directory().join("extra.conf");
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    server.stop().await.unwrap();
    server.start().await.unwrap();
    assert_eq!(server.sql("SHOW work_mem").await.unwrap(), "7MB");
}

#[tokio::test]
async fn a_server_that_cannot_start_is_quoted() {
    let error = Settings::new().conf("wal_level = none").start().await.unwrap_err().to_string();
    assert!(error.contains("invalid value for parameter \"wal_level\""), "{error}");
}

#[tokio::test]
async fn a_synchronous_standby_has_every_commit_and_takes_over() {
    let primary = with_table().await;
    let standby = primary.standby(Replication::Synchronous).await.unwrap();
    primary.sql("INSERT INTO seats VALUES (1)").await.unwrap();
    primary.kill().await.unwrap();
    assert_eq!(standby.sql("SELECT pg_is_in_recovery()").await.unwrap(), "t");
    standby.promote().await.unwrap();
    standby.sql("INSERT INTO seats VALUES (2)").await.unwrap();
    assert_eq!(standby.sql(COUNT).await.unwrap(), "2");
}

#[tokio::test]
async fn a_frozen_asynchronous_standby_misses_commits_that_were_answered() {
    let primary = with_table().await;
    let standby = primary.standby(Replication::Asynchronous).await.unwrap();
    standby.freeze().await.unwrap();
    primary.sql("INSERT INTO seats VALUES (1)").await.unwrap();
    primary.kill().await.unwrap();
    standby.kill().await.unwrap();
    standby.start().await.unwrap();
    standby.promote().await.unwrap();
    assert_eq!(standby.sql(COUNT).await.unwrap(), "0", "what it never received is lost");
}
