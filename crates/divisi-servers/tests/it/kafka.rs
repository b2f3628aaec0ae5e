//! Kafka, started, killed, frozen, put back in time. It is slow to start; so a test does more than one thing.

use std::net::TcpStream;
use std::time::Duration;

use divisi_servers::Kafka;
use divisi_servers::kafka::Settings;

use crate::kafka_by_hand::Client;

fn client(server: &Kafka) -> Client {
    Client::connect(server.address())
}

#[tokio::test]
async fn a_killed_server_comes_back_with_its_topics_and_a_restored_one_without() {
    let server = Kafka::launch().await.unwrap();
    let copies = tempfile::tempdir().unwrap();
    let (address, early) = (server.address(), copies.path().join("early"));
    client(&server).make_topic("early");
    server.stop().await.unwrap();
    server.copy_data(&early).await.unwrap();
    server.start().await.unwrap();
    client(&server).make_topic("late");
    server.kill().await.unwrap();
    assert!(TcpStream::connect(address).is_err(), "nobody listens");
    server.start().await.unwrap();
    assert_eq!(server.address(), address);
    assert_eq!(client(&server).topics(&["early", "late"]), ["early", "late"]);
    server.kill().await.unwrap();
    server.restore_data(&early).await.unwrap();
    server.start().await.unwrap();
    assert_eq!(client(&server).topics(&["early", "late"]), ["early"]);
}

#[tokio::test]
async fn of_two_servers_one_is_frozen_and_the_other_does_not_feel_it() {
    let (one, two) = tokio::join!(Kafka::launch(), Kafka::launch());
    let (one, two) = (one.unwrap(), two.unwrap());
    let mut client_of_one = client(&one);
    one.freeze().await.unwrap();
    client_of_one.send_a_question();
    let silence = client_of_one.hear(Duration::from_millis(200)).unwrap_err();
    assert_eq!(silence.kind(), std::io::ErrorKind::WouldBlock);
    client(&two).make_topic("seats");
    one.thaw().await.unwrap();
    client_of_one.hear(Duration::from_secs(20)).unwrap();
    assert_eq!(client_of_one.topics(&["seats"]), [""; 0]);
    assert_eq!(client(&two).topics(&["seats"]), ["seats"]);
}

#[tokio::test]
async fn a_server_that_cannot_start_is_quoted() {
    let error = Settings::new().property("log.segment.bytes", "many").start().await.unwrap_err().to_string();
    assert!(error.contains("log.segment.bytes"), "{error}");
}

#[tokio::test]
async fn a_client_that_does_not_say_who_it_is_is_sent_away_when_that_is_asked_for() {
    let users = "org.apache.kafka.common.security.plain.PlainLoginModule required user_posts=\"secret\";";
    let server = Settings::new()
        .protocol("SASL_PLAINTEXT")
        .property("sasl.enabled.mechanisms", "PLAIN")
        .property("listener.name.client.plain.sasl.jaas.config", users)
        .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
        .property("super.users", "User:ANONYMOUS")
        .start()
        .await
        .unwrap();
    let mut client = client(&server);
    client.send_a_question();
    assert!(client.hear(Duration::from_secs(20)).is_ok(), "versions are for everybody");
    client.send_a_question_for_topics();
    let end = client.hear(Duration::from_secs(20)).unwrap_err();
    assert_eq!(end.kind(), std::io::ErrorKind::UnexpectedEof);
    Client::connect(server.internal_address()).make_topic("seats");
}
