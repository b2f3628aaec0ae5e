//! NATS, started, killed, frozen, put back in time.

use std::net::TcpStream;
use std::time::Duration;

use divisi_servers::nats::Settings;
use divisi_servers::{Error, Nats};

use crate::nats_by_hand::Client;

fn client(server: &Nats) -> Client {
    let mut client = Client::connect(server.address());
    assert_eq!(client.hello(""), "PONG");
    client
}

#[tokio::test]
async fn a_killed_server_comes_back_at_the_same_address_with_its_streams() {
    let server = Nats::launch().await.unwrap();
    let address = server.address();
    let mut before = client(&server);
    before.make_stream();
    assert_eq!(before.publish(), 1);
    server.kill().await.unwrap();
    assert!(server.log().contains("Server is ready"), "what it said can still be read: {}", server.log());
    assert!(TcpStream::connect(address).is_err(), "nobody listens");
    server.start().await.unwrap();
    assert_eq!(server.address(), address);
    assert_eq!(client(&server).publish(), 2);
    server.stop().await.unwrap();
    server.start().await.unwrap();
    assert_eq!(client(&server).publish(), 3);
}

#[tokio::test]
async fn a_frozen_server_is_silent_until_it_is_thawed() {
    let server = Nats::launch().await.unwrap();
    let mut client = client(&server);
    server.freeze().await.unwrap();
    let silence = client.ping(Duration::from_millis(200)).unwrap_err();
    assert_eq!(silence.kind(), std::io::ErrorKind::WouldBlock);
    server.thaw().await.unwrap();
    assert_eq!(client.hear(Duration::from_secs(10)).unwrap(), "PONG");
}

#[tokio::test]
async fn restored_streams_are_as_if_everything_since_had_been_lost() {
    let server = Settings::new().jetstream("sync_interval: always").start().await.unwrap();
    let copies = tempfile::tempdir().unwrap();
    let early = copies.path().join("early");
    let mut first = client(&server);
    first.make_stream();
    assert_eq!(first.publish(), 1);
    server.stop().await.unwrap();
    server.copy_data(&early).await.unwrap();
    server.start().await.unwrap();
    let mut second = client(&server);
    assert_eq!([second.publish(), second.publish()], [2, 3]);
    server.kill().await.unwrap();
    server.restore_data(&early).await.unwrap();
    server.start().await.unwrap();
    assert_eq!(client(&server).publish(), 2, "2 and 3 of before are forgotten");
}

#[tokio::test]
async fn two_servers_at_once_do_not_meet() {
    let (one, two) = tokio::join!(Nats::launch(), Nats::launch());
    let (one, two) = (one.unwrap(), two.unwrap());
    client(&one).make_stream();
    client(&two).make_stream();
    assert_eq!([client(&one).publish(), client(&one).publish(), client(&two).publish()], [1, 2, 1]);
}

#[tokio::test]
async fn a_directory_is_one_servers_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let settings = || Settings::new().directory(directory.path());
    let first = settings().start().await.unwrap();
    let refused = settings().start().await.unwrap_err();
    assert!(matches!(refused, Error::InUse { .. }), "{refused}");
    client(&first).make_stream();
    assert_eq!(client(&first).publish(), 1);
    let address = first.address();
    drop(first);
    let second = settings().start().await.unwrap();
    assert_eq!((second.address(), client(&second).publish()), (address, 2));
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_stands_still_while_a_server_starts_and_other_tasks_go_on() {
    let began = tokio::time::Instant::now();
    let (server, others) = tokio::join!(Nats::launch(), async {
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        began.elapsed()
    });
    server.unwrap().kill().await.unwrap();
    assert_eq!((others, began.elapsed()), (Duration::ZERO, Duration::ZERO));
}

#[tokio::test]
async fn users_of_the_configuration_are_checked() {
    let users = r#"authorization { users = [ { user: "posts", password: "right" } ] }"#;
    let server = Settings::new().conf(users).start().await.unwrap();
    let hello = |password| {
        Client::connect(server.address()).hello(&format!(r#""user":"posts","pass":"{password}","#))
    };
    assert_eq!(hello("right"), "PONG");
    assert_eq!(hello("wrong"), "-ERR 'Authorization Violation'");
}

#[tokio::test]
async fn a_server_that_cannot_start_is_quoted() {
    let error = Settings::new().conf("max_payload: many").start().await.unwrap_err().to_string();
    assert!(error.contains("nats.conf:") && error.contains("is string, not int64"), "{error}");
}
