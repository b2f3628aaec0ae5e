//! How topics are made, and what is refused.

use std::time::Duration;

use divisi_contract::ServiceName;
use divisi_events::Carrier;
use divisi_events::carrier::{CarrierError, Head, PublishError};
use divisi_kafka::{Credentials, Kafka, Mechanism, Options};
use divisi_store::{Epochs, Lane};

use crate::broker::{self, PASSWORD, USER};

const TOPIC: &str = "sales";

fn shop() -> ServiceName {
    ServiceName::from("shop")
}

async fn head(options: Options) -> Result<Head, CarrierError> {
    Kafka::new(options).expect("options that fit together").head(&shop(), TOPIC, Lane(0)).await
}

/// What is said of options that do not fit a topic that was made with others.
async fn refused(options: Options, change: impl FnOnce(&mut Options)) -> String {
    let mut changed = options.clone();
    head(options).await.expect("a topic of its own making will do");
    change(&mut changed);
    match head(changed).await.expect_err("refused") {
        CarrierError::Misconfigured(words) => words,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn says(words: &str, parts: &[&str]) {
    assert!(parts.iter().all(|part| words.contains(part)), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_not_as_it_should_be_is_refused_in_words() {
    let broker = broker::shared().await;
    let (options, name) = (broker.options(), broker.topic(TOPIC));
    let words = refused(options.clone(), |options| options.partitions = 12).await;
    says(&words, &[&name, "has 8 partitions", "12 are set", "partitions = 8"]);
    let words = refused(options.clone(), |options| options.replication = 3).await;
    says(&words, &[&name, "has 1 copies", "3 are set", "replication = 1"]);
    let words = refused(options.clone(), |options| options.retention = None).await;
    says(&words, &[&name, "retention.ms", "is 604800000", "at least -1", "--add-config retention.ms=-1"]);
    // A publisher is refused for the same reason.
    let carrier = Kafka::new(Options { partitions: 12, ..options }).expect("options that fit together");
    let error = carrier.beacon(&shop(), TOPIC, &Epochs::default(), &[]).await.expect_err("refused");
    says(&error.to_string(), &["has 8 partitions"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_cannot_be_made_is_refused_in_words() {
    let broker = broker::shared().await;
    let options = Options { create: false, ..broker.options() };
    let error = head(options).await.expect_err("there is none");
    says(&error.to_string(), &["does not exist", "8 partitions", "cleanup.policy=delete", "create = true"]);
    let options = Options { replication: 3, insync_min: 2, ..broker.options() };
    let error = head(options).await.expect_err("one broker");
    says(&error.to_string(), &["replication factor 3", "has the cluster 3 brokers?"]);
    let options = Options { prefix: "no topic/".to_owned(), ..broker.options() };
    says(
        &head(options).await.expect_err("a bad name").to_string(),
        &["`no topic/sales`", "change the prefix"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_a_password_is_let_in_and_one_with_another_is_told_so() {
    let broker = broker::shared().await;
    let with = |password: &str| Options {
        brokers: broker.server.url(),
        credentials: Some(Credentials::new(Mechanism::Plain, USER, password)),
        ..broker.options()
    };
    assert_eq!(head(with(PASSWORD)).await.expect("let in"), Head::Empty);
    let options = Options { answer_within: Duration::from_secs(2), ..with("another") };
    let error = head(options).await.expect_err("not let in");
    assert!(matches!(error, CarrierError::Misconfigured(_)), "{error:?}");
    says(&error.to_string(), &["Authentication failed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_is_an_error_and_not_a_wait() {
    let options = Options { answer_within: Duration::from_secs(1), ..Options::new("market", "127.0.0.1:1") };
    let carrier = Kafka::new(options).expect("nobody is asked");
    let error = carrier.head(&shop(), TOPIC, Lane(0)).await.expect_err("away");
    assert!(matches!(error, CarrierError::Unavailable(_)), "{error:?}");
    says(&error.to_string(), &["Connection refused"]);
    assert!(carrier.read(&shop(), TOPIC, vec![(Lane(0), None)]).await.is_err());
    let error = carrier.beacon(&shop(), TOPIC, &Epochs::default(), &[]).await.expect_err("away");
    assert!(matches!(error, PublishError::Unavailable(_)), "{error:?}");
    carrier.close().await;
}
