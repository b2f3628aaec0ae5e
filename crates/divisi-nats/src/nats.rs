//! NATS as the seam sees it.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{HeaderMap, HeaderName};
use divisi_call::BoxFuture;
use divisi_contract::ServiceName;
use divisi_events::carrier::{Arrivals, Carrier, CarrierError, Head, Hint, PublishError};
use divisi_events::cloud_event::CloudEvents;
use divisi_store::{Epochs, Lane, Pos, Record};
use tokio::time::timeout;

use crate::connection::Connection;
use crate::error::ConnectError;
use crate::head;
use crate::lanes::Lanes;
use crate::names::{Names, is_token};
use crate::options::Options;
use crate::publishing;
use crate::reading::NatsArrivals;
use crate::streams::{Streams, with_cause};

/// The carrier's name, with which its hints begin.
pub const NAME: &str = "nats";

/// NATS JetStream as a carrier: one connection, a stream a topic. Its lanes are published and read through an `Arc` of it.
///
/// It is connected again for ever; while there is no connection, everything is answered by an error at once.
pub struct Nats {
    pub(crate) connection: Connection,
    pub(crate) streams: Streams,
    pub(crate) lanes: Lanes,
    pub(crate) mapping: CloudEvents,
    pub(crate) ack_within: Duration,
    pub(crate) answer_within: Duration,
    prefix: String,
}

impl Nats {
    /// Connects, and goes on without a connection when there is none within a second: a server that is down is no error.
    ///
    /// Fails on options that can never work: an address that is none, a file that cannot be read.
    pub async fn connect(options: Options) -> Result<Nats, ConnectError> {
        if !is_token(&options.prefix) {
            return Err(ConnectError::Prefix { prefix: options.prefix });
        }
        let options = options.with_user_of_address();
        Ok(Nats {
            connection: Connection::open(&options).await?,
            streams: Streams::new(options.stream, options.answer_within),
            lanes: Lanes::default(),
            mapping: CloudEvents::nats(options.app),
            ack_within: options.ack_within,
            answer_within: options.answer_within,
            prefix: options.prefix,
        })
    }

    /// Looks at a topic's stream, making it if there is none: for a start that would rather refuse than run with a
    /// stream that is something else. [`CarrierError::Misconfigured`] says what to do, [`CarrierError::Unavailable`]
    /// that nothing can be said now.
    pub async fn check(&self, topic: &str) -> Result<(), CarrierError> {
        let names = self.names(topic)?;
        self.streams.look(&self.connection, &names).await.map(|_| ())
    }

    /// Whether there is a connection now.
    pub fn is_connected(&self) -> bool {
        self.connection.reachable().is_ok()
    }

    pub(crate) fn names(&self, topic: &str) -> Result<Names, CarrierError> {
        Names::of(&self.prefix, topic)
    }

    async fn send_beacon(
        &self,
        source: &ServiceName,
        topic: &str,
        epochs: &Epochs,
        heads: &[(Lane, Pos)],
    ) -> Result<(), PublishError> {
        let unavailable = |error: CarrierError| PublishError::Unavailable(error.to_string());
        self.connection.reachable().map_err(unavailable)?;
        let names = self.names(topic).map_err(unavailable)?;
        let message = self.mapping.beacon(source, topic, epochs, heads);
        let mut headers = HeaderMap::new();
        for (name, value) in message.headers {
            headers.insert(HeaderName::from_static(name), value);
        }
        let client = &self.connection.client;
        let sent = async {
            client
                .publish_with_headers(names.beacons, headers, message.payload)
                .await
                .map_err(|error| with_cause(&error))?;
            client.flush().await.map_err(|error| with_cause(&error))
        };
        match timeout(self.answer_within, sent).await {
            Ok(sent) => sent.map_err(PublishError::NotAcknowledged),
            Err(_) => Err(PublishError::NotAcknowledged("the beacon was not sent in time".to_owned())),
        }
    }
}

impl Carrier for Nats {
    fn name(&self) -> &str {
        NAME
    }

    fn publish<'a>(
        &'a self,
        _source: &'a ServiceName,
        topic: &'a str,
        lane: Lane,
        records: &'a [Arc<Record>],
        fence: Option<u64>,
    ) -> BoxFuture<'a, Vec<Result<Hint, PublishError>>> {
        Box::pin(publishing::publish(self, topic, lane, records, fence))
    }

    fn beacon<'a>(
        &'a self,
        source: &'a ServiceName,
        topic: &'a str,
        epochs: &'a Epochs,
        heads: &'a [(Lane, Pos)],
    ) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(self.send_beacon(source, topic, epochs, heads))
    }

    fn head<'a>(
        &'a self,
        _source: &'a ServiceName,
        topic: &'a str,
        lane: Lane,
    ) -> BoxFuture<'a, Result<Head, CarrierError>> {
        Box::pin(head::head(self, topic, lane))
    }

    fn read<'a>(
        &'a self,
        _source: &'a ServiceName,
        topic: &'a str,
        from: Vec<(Lane, Option<Hint>)>,
    ) -> BoxFuture<'a, Result<Box<dyn Arrivals>, CarrierError>> {
        Box::pin(async move {
            let arrivals = NatsArrivals::begin(self, topic, from).await?;
            Ok(Box::new(arrivals) as Box<dyn Arrivals>)
        })
    }
}

impl std::fmt::Debug for Nats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nats").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
