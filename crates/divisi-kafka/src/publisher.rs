//! Publishing: pipelined, in order, one outcome a record.

mod batch;
mod ends;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use divisi_events::carrier::{CarrierError, PublishError};
use divisi_events::cloud_event::Message;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, config::RDKafkaLogLevel};
use tokio::time::timeout;
use tracing::debug;

use crate::client::{self, Words};
use crate::elsewhere::{Elsewhere, blocking};
use crate::error;
use crate::options::Options;
use batch::{Batch, Receipt};
use ends::Ends;

/// How much longer than the client's own limit an outcome is waited for.
const GRACE: Duration = Duration::from_secs(5);

/// A record on its way.
pub(crate) struct Sent<'a> {
    pub(crate) key: &'a str,
    pub(crate) message: Message,
}

/// Where a record came to lie: partition and offset.
pub(crate) type Placed = (i32, i64);

/// Publishes through one client, which is replaced when it can no more.
///
/// An idempotent client stops for good when a broker contradicts it: after a topic was deleted, after a log went back
/// in time. A new one begins a new sequence.
pub(crate) struct Publisher {
    options: Arc<Options>,
    client: Mutex<Option<Client>>,
    ends: Ends,
}

type Client = Arc<Elsewhere<ThreadedProducer<Reports>>>;

impl Publisher {
    pub(crate) fn new(options: Arc<Options>) -> Publisher {
        Publisher { options, client: Mutex::new(None), ends: Ends::default() }
    }

    /// Publishes messages to one partition, in order; one outcome each. After one that the client did not take, none
    /// is tried.
    pub(crate) async fn publish(
        &self,
        topic: &str,
        partition: i32,
        messages: Vec<Sent<'_>>,
    ) -> Vec<Result<Placed, PublishError>> {
        let n_messages = messages.len();
        let client = match self.client().await {
            Ok(client) => client,
            Err(failed) => {
                let failed = error::not_published(failed);
                return (0..n_messages).map(|_| Err(failed.clone())).collect();
            }
        };
        let batch = Batch::new(n_messages);
        let end = self.ends.of(topic, partition);
        for (n, sent) in messages.into_iter().enumerate() {
            let receipt = Box::new(Receipt::new(Arc::clone(&batch), n));
            let record = BaseRecord::with_opaque_to(topic, receipt)
                .partition(partition)
                .key(sent.key)
                .payload(&*sent.message.payload)
                .headers(headers(&sent.message));
            if let Err((failed, record)) = client.send(record) {
                let code = failed.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                record.delivery_opaque.settle(Err(code));
                batch.give_up_from(n + 1, code);
                break;
            }
        }
        let waited = timeout(self.options.publish_within + GRACE, batch.done()).await;
        if waited.is_err() {
            batch.give_up_from(0, RDKafkaErrorCode::MessageTimedOut);
        }
        let outcomes = batch.outcomes();
        if let Some(code) =
            outcomes.iter().find_map(|outcome| outcome.as_ref().err().filter(|code| ends(**code)))
        {
            debug!(event.topic = topic, "the client that publishes is replaced: {code}");
            self.replace(&client);
        }
        let placed = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).map(|(_, offset)| *offset);
        if let Some(back) = self.ends.reached(topic, partition, end, placed) {
            return (0..n_messages).map(|_| Err(PublishError::Forgotten(back.clone()))).collect();
        }
        let failed = |code| error::publish(&self.options, topic, code);
        outcomes.into_iter().map(|outcome| outcome.map_err(failed)).collect()
    }

    /// A topic is a new one of a known name. A client that knows the old one would go on counting, so it is replaced,
    /// whatever it is in the middle of.
    pub(crate) fn begin_anew(&self) {
        let old = self.lock().take();
        drop(old);
    }

    /// What was acknowledged of a topic so far says nothing about what comes.
    pub(crate) fn forget(&self, topic: &str) {
        self.ends.forget(topic);
    }

    /// Waits until nothing is on its way, within the limit of a publish, and closes the client.
    pub(crate) async fn close(&self) {
        let Some(client) = self.lock().take() else { return };
        let within = self.options.publish_within;
        let closed = blocking(move || {
            if let Err(failed) = client.flush(within) {
                debug!("closed with records on their way: {failed}");
            }
            drop(client);
            Ok(())
        });
        // It cannot fail; a runtime that ends closes it as well.
        let _ = closed.await;
    }

    async fn client(&self) -> Result<Client, CarrierError> {
        if let Some(client) = self.lock().as_ref() {
            return Ok(Arc::clone(client));
        }
        let options = Arc::clone(&self.options);
        let made = blocking(move || {
            let config = client::publishing(&options);
            let client = ThreadedProducer::from_config_and_context(&config, Reports::default())
                .map_err(|failed| error::carrier(&options, "cannot make a client that publishes", &failed))?;
            Ok(Arc::new(Elsewhere::new(client)))
        });
        let made = made.await?;
        // Two who found none have made two; one is as good as the other.
        Ok(Arc::clone(self.lock().get_or_insert(made)))
    }

    fn replace(&self, client: &Client) {
        let mut current = self.lock();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, client)) {
            *current = None;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Client>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a client that reports this is better replaced. A record that was too late or found no room is no reason.
fn ends(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    !matches!(
        code,
        Code::MessageTimedOut
            | Code::QueueFull
            | Code::BrokerTransportFailure
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::MessageSizeTooLarge
    )
}

fn headers(message: &Message) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(message.headers.len());
    message
        .headers
        .iter()
        .fold(empty, |headers, (key, value)| headers.insert(Header { key, value: Some(value.as_bytes()) }))
}

/// Brings reports of the client to the batches that wait for them.
#[derive(Clone, Default)]
struct Reports {
    words: Words,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.words.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.words.error(error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Receipt>;

    fn delivery(&self, report: &DeliveryResult<'_>, receipt: Box<Receipt>) {
        receipt.settle(match report {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((failed, _)) => Err(failed.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)),
        });
    }
}
