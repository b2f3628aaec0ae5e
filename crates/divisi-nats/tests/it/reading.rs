//! Subscriptions that end, and messages that cannot be read.

use async_nats::HeaderMap;
use divisi_events::carrier::{Carried, Carrier, CarrierError};
use divisi_nats::Nats;
use divisi_store::Lane;
use tokio::time::{Duration, timeout};

use crate::support::{
    PATIENCE, carrier, next_pos, options, publish, read, server, start_of, stranger, until,
};

const LANE: Lane = Lane(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_subscription_ends_when_the_server_restarts_and_the_next_one_goes_on() {
    let server = server().await;
    let carrier = carrier(&server).await;
    let published = publish(&carrier, "sales", LANE, 1..=2, 1).await;
    let hint = published[1].clone().expect("published");
    let mut arrivals = read(&carrier, "sales", LANE, Some(hint.clone())).await;
    server.kill().await.expect("killed");
    server.start().await.expect("started");
    let ended = timeout(Duration::from_secs(10), arrivals.next()).await.expect("it ends within ten seconds");
    assert!(matches!(ended, Some(Err(CarrierError::Unavailable(_))) | None), "{ended:?}");
    let mut arrivals = until(
        "it can be read again",
        PATIENCE,
        async || {
            carrier
                .read(&"shop".into(), "sales", vec![(LANE, Some(hint.clone()))])
                .await
                .map_err(|e| e.to_string())
                .map(Shown)
        },
        Result::is_ok,
    )
    .await
    .expect("a subscription")
    .0;
    until(
        "it can be published again",
        PATIENCE,
        async || publish(&carrier, "sales", LANE, [3], 1).await,
        |o| o[0].is_ok(),
    )
    .await;
    assert_eq!(next_pos(&mut *arrivals).await, 3);
}

struct Shown(Box<dyn divisi_events::carrier::Arrivals>);

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a subscription")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_any_more_ends_a_subscription() {
    let server = server().await;
    let carrier = carrier(&server).await;
    publish(&carrier, "sales", LANE, [1], 1).await;
    let mut arrivals = read(&carrier, "sales", LANE, None).await;
    server.freeze().await.expect("frozen");
    let ended = timeout(Duration::from_secs(10), arrivals.next()).await.expect("missed heartbeats end it");
    assert!(matches!(ended, Some(Err(CarrierError::Unavailable(_)))), "{ended:?}");
    let refused = timeout(PATIENCE, carrier.read(&"shop".into(), "sales", vec![(LANE, None)])).await;
    assert!(matches!(refused.expect("bounded in time").map(|_| ()), Err(CarrierError::Unavailable(_))));
    let published =
        timeout(PATIENCE, publish(&carrier, "sales", LANE, 2..=4, 1)).await.expect("bounded in time");
    assert!(published.len() == 3 && published.iter().all(Result::is_err), "{published:?}");
    server.thaw().await.expect("thawed");
    until(
        "it goes on",
        PATIENCE,
        async || publish(&carrier, "sales", LANE, 2..=4, 1).await,
        |o| o.iter().all(Result::is_ok),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_passed_over() {
    let server = server().await;
    let carrier = carrier(&server).await;
    publish(&carrier, "sales", LANE, [1], 1).await;
    let stranger = stranger(&server).await;
    for n in 0..3 {
        let mut headers = HeaderMap::new();
        headers.insert("ce-id", format!("{n}"));
        let sent = stranger.publish_with_headers("evt.sales.5", headers, "\u{0}".into()).await.expect("sent");
        sent.await.expect("stored");
    }
    let mut arrivals = read(&carrier, "sales", LANE, Some(start_of(&server, "evt_sales").await)).await;
    assert_eq!(next_pos(&mut *arrivals).await, 1);
    let published = publish(&carrier, "sales", LANE, [2], 1).await;
    assert!(published[0].is_ok(), "a stranger's message is no fence: {published:?}");
    assert_eq!(next_pos(&mut *arrivals).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_reads_a_cloud_event() {
    let server = server().await;
    let carrier = carrier(&server).await;
    publish(&carrier, "sales", LANE, [1], 1).await;
    let stream = stranger(&server).await.get_stream("evt_sales").await.expect("the stream");
    let message = stream.get_last_raw_message_by_subject("evt.sales.5").await.expect("a message");
    let header = |name: &str| message.headers.get(name).map(|value| value.as_str().to_owned());
    assert_eq!(header("ce-type").as_deref(), Some("market.shop.Sold.v1"));
    assert_eq!(header("ce-source").as_deref(), Some("/shop"));
    assert_eq!(header("ce-specversion").as_deref(), Some("1.0"));
    assert_eq!(header("Nats-Msg-Id"), header("ce-id"));
    assert_eq!(&message.payload[..], br#"{"item":"apple","n":1}"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_server_is_gone_everything_is_an_error_and_nothing_waits() {
    let server = server().await;
    server.kill().await.expect("killed");
    let carrier = Nats::connect(options(&server)).await.expect("a server that is down is no error");
    assert!(!carrier.is_connected());
    let read = timeout(PATIENCE, carrier.read(&"shop".into(), "sales", vec![(LANE, None)]))
        .await
        .expect("no waiting");
    assert!(matches!(read.map(|_| ()), Err(CarrierError::Unavailable(_))));
    let published = publish(&carrier, "sales", LANE, [1], 1).await;
    assert!(published[0].is_err());
    server.start().await.expect("started");
    until("it finds the server", PATIENCE, async || carrier.check("sales").await.is_ok(), |found| *found)
        .await;
    let mut arrivals = crate::support::read(&carrier, "sales", LANE, None).await;
    publish(&carrier, "sales", LANE, [1], 1).await;
    let arrived = timeout(PATIENCE, arrivals.next()).await.expect("in time");
    assert!(matches!(arrived, Some(Ok(Carried::Record(..)))), "{arrived:?}");
}
