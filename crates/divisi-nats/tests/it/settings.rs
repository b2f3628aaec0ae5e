//! Streams that are not what they should be, and connections that cannot be.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, StorageType};
use divisi_events::carrier::{Carrier, CarrierError, Head};
use divisi_nats::{ConnectError, Credentials, Nats, Options, StreamOptions, Tls};
use divisi_store::Lane;

use crate::support::{carrier, head, options, publish, server, stranger};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_with_wrong_settings_is_refused_in_words() {
    let server = server().await;
    let wrong = Config {
        name: "evt_sales".to_owned(),
        subjects: vec!["evt.sales.*".to_owned()],
        storage: StorageType::Memory,
        max_age: Duration::from_secs(3_600),
        ..Config::default()
    };
    stranger(&server).await.create_stream(wrong).await.expect("an operator makes it");
    let carrier = carrier(&server).await;
    let refused = carrier.check("sales").await.expect_err("it is refused").to_string();
    for part in [
        "evt_sales",
        "storage is memory and should be file",
        "max_age is 3600s and should be 604800s",
        "nats stream edit",
    ] {
        assert!(refused.contains(part), "`{part}` is not in: {refused}");
    }
    assert!(matches!(head(&carrier, "sales", Lane(0)).await, Err(CarrierError::Misconfigured(_))));
    let read = carrier.read(&"shop".into(), "sales", vec![(Lane(0), None)]).await;
    assert!(matches!(read.map(|_| ()), Err(CarrierError::Misconfigured(_))));
    let published = publish(&carrier, "sales", Lane(0), [1], 1).await;
    let error = published[0].as_ref().expect_err("nothing is published to it").to_string();
    assert!(error.contains("storage is memory"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_made_as_configured_and_taken_again() {
    let server = server().await;
    let stream = StreamOptions {
        max_age: Duration::from_secs(60),
        max_bytes: Some(1_000_000),
        duplicate_window: Duration::from_millis(500),
        ..StreamOptions::default()
    };
    let options = Options { stream, ..options(&server) };
    for _ in 0..2 {
        let carrier = Nats::connect(options.clone()).await.expect("a carrier");
        carrier.check("sales").await.expect("as it should be");
        assert_eq!(head(&carrier, "sales", Lane(3)).await.expect("an answer"), Head::Empty);
    }
    let made = stranger(&server).await.get_stream("evt_sales").await.expect("it is there");
    let config = &made.cached_info().config;
    assert_eq!((config.max_bytes, config.max_age), (1_000_000, Duration::from_secs(60)));
    assert_eq!(config.storage, StorageType::File);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_that_may_not_make_streams_says_what_to_make() {
    let server = server().await;
    let stream = StreamOptions { create: false, ..StreamOptions::default() };
    let carrier = Nats::connect(Options { stream, ..options(&server) }).await.expect("a carrier");
    let refused = carrier.check("sales").await.expect_err("it is not there").to_string();
    assert!(refused.contains("`evt_sales` does not exist") && refused.contains("evt.sales.*"), "{refused}");
    let refused = carrier.check("sa les").await.expect_err("no topic").to_string();
    assert!(refused.contains("sa les"), "{refused}");
}

#[tokio::test]
async fn options_that_can_never_work_are_refused_by_name() {
    let none = Nats::connect(Options::new("market", Vec::<String>::new())).await;
    assert!(matches!(none, Err(ConnectError::NoServer)));
    let server = Nats::connect(Options::new("market", ["nats://user:pass@:x"])).await;
    let Err(ConnectError::Server { server, .. }) = server else { panic!("{server:?}") };
    assert!(!server.contains("pass"), "{server}");
    let shown = format!("{:?}", Options::new("market", ["nats://user:pass@127.0.0.1:1"]));
    assert!(shown.contains("127.0.0.1:1") && !shown.contains("pass"), "{shown}");
    let options = Options::new("market", ["nats://127.0.0.1:1"]);
    let prefix = Nats::connect(Options { prefix: "a.>".to_owned(), ..options.clone() }).await;
    assert!(matches!(prefix, Err(ConnectError::Prefix { .. })));
    let missing = std::path::PathBuf::from("/nowhere/at/all.pem");
    let tls = Tls { roots: Some(missing.clone()), ..Tls::default() };
    let roots = Nats::connect(Options { tls, ..options.clone() }).await;
    assert!(matches!(roots, Err(ConnectError::File { path, .. }) if path == missing));
    let file = Nats::connect(Options { credentials: Credentials::File(missing.clone()), ..options }).await;
    assert!(matches!(file, Err(ConnectError::File { path, .. }) if path == missing));
}
