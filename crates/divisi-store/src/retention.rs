//! Forgetting the oldest part of logs, again and again. How a log is shortened is its back end's.

use std::sync::Weak;
use std::time::Duration;

use divisi_contract::ServiceName;
use tokio::time::{MissedTickBehavior, interval};

use crate::BoxFuture;
use crate::backend::Backend;
use crate::error::StoreError;
use crate::store::Store;

/// How often a store with an age limit looks for something to forget.
pub const PERIOD: Duration = Duration::from_secs(60);

/// Forgets what is older than an age in the log of a topic; how many records.
pub type Forget = for<'a> fn(&'a Store, &'a str, Duration) -> BoxFuture<'a, Result<u64, StoreError>>;

/// Forgets every [`PERIOD`], as long as the store is there. Owned by the store, which aborts it.
pub async fn repeat(
    store: Weak<dyn Backend>,
    service: ServiceName,
    topics: Vec<&'static str>,
    age: Duration,
    forget: Forget,
) {
    let mut period = interval(PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        period.tick().await;
        let Some(backend) = store.upgrade() else { return };
        let handle = Store::new(backend, service.clone(), topics.clone().into());
        for topic in &topics {
            if let Err(error) = forget(&handle, topic, age).await {
                tracing::warn!(error = %error, service.name = %service, event.topic = topic, "the log could not be shortened, it grows");
            }
        }
    }
}
