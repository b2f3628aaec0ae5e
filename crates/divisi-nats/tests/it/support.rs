//! Servers, carriers and records for tests.

use std::sync::Arc;
use std::time::Duration;

use divisi_events::carrier::{Arrivals, Carried, Carrier, CarrierError, PublishError};
use divisi_events::{Hint, carrier::Head};
use divisi_nats::{Nats, Options};
use divisi_servers::Nats as Server;
use divisi_store::{Epoch, Lane, Pos, Record, Timestamp};
use tokio::time::{Instant, sleep, timeout};

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const EPOCH: Epoch = Epoch(1_700_000_000_000_000);

pub(crate) async fn server() -> Server {
    Server::launch().await.expect("a NATS server; `cargo xtask up nats` brings one")
}

pub(crate) async fn carrier(server: &Server) -> Nats {
    Nats::connect(options(server)).await.expect("a carrier")
}

pub(crate) fn options(server: &Server) -> Options {
    Options::new("market", [server.url()])
}

/// A plain client, as an operator or a stranger has it.
pub(crate) async fn stranger(server: &Server) -> async_nats::jetstream::Context {
    let client = async_nats::connect(server.url()).await.expect("a plain client connects");
    async_nats::jetstream::new(client)
}

/// The hint before the first message of a topic's stream, which must exist.
pub(crate) async fn start_of(server: &Server, stream: &str) -> Hint {
    let stream = stranger(server).await.get_stream(stream).await.expect("the stream");
    let info = stream.cached_info();
    Hint(format!("nats:{}@{}:0", info.config.name, info.created.unix_timestamp_nanos()).into())
}

pub(crate) fn record(topic: &str, lane: Lane, pos: i64) -> Arc<Record> {
    Arc::new(Record {
        source: "shop".into(),
        topic: topic.into(),
        lane,
        epoch: EPOCH,
        pos: Pos(pos),
        kind: "Sold".into(),
        schema_v: 1,
        key: "apple".into(),
        headers: "{}".into(),
        payload: format!(r#"{{"item":"apple","n":{pos}}}"#).into(),
        at: Timestamp(1_700_000_000_000_000 + pos),
    })
}

pub(crate) async fn publish(
    carrier: &dyn Carrier,
    topic: &str,
    lane: Lane,
    positions: impl IntoIterator<Item = i64>,
    fence: u64,
) -> Vec<Result<Hint, PublishError>> {
    let records: Vec<_> = positions.into_iter().map(|pos| record(topic, lane, pos)).collect();
    carrier.publish(&"shop".into(), topic, lane, &records, Some(fence)).await
}

pub(crate) async fn head(carrier: &dyn Carrier, topic: &str, lane: Lane) -> Result<Head, CarrierError> {
    carrier.head(&"shop".into(), topic, lane).await
}

pub(crate) async fn read(
    carrier: &dyn Carrier,
    topic: &str,
    lane: Lane,
    hint: Option<Hint>,
) -> Box<dyn Arrivals> {
    carrier.read(&"shop".into(), topic, vec![(lane, hint)]).await.expect("a subscription")
}

/// The position of the next record.
pub(crate) async fn next_pos(arrivals: &mut dyn Arrivals) -> i64 {
    loop {
        let arrived = timeout(PATIENCE, arrivals.next()).await.expect("nothing arrived in time");
        if let Carried::Record(record, _) = arrived.expect("the subscription is over").expect("it failed") {
            return record.pos.0;
        }
    }
}

/// Looks again and again until it is so; what was last seen is in the panic.
pub(crate) async fn until<T: std::fmt::Debug>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> T,
    done: impl Fn(&T) -> bool,
) -> T {
    let began = Instant::now();
    loop {
        let seen = look().await;
        if done(&seen) {
            return seen;
        }
        assert!(began.elapsed() < within, "{what}: not within {within:?}; last seen: {seen:#?}");
        sleep(Duration::from_millis(20)).await;
    }
}
