//! What an app brings to its host: databases, and a broker if there is one.

use std::error::Error;
use std::sync::Arc;

use divisi_call::BoxFuture;
use divisi_events::Carrier;
use divisi_store::Stores;

use crate::config::Config;

/// Whatever went wrong, in words for whoever started the process.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Chooses databases and a carrier as the configuration says. The host itself knows none.
pub trait Backends: Send + Sync + 'static {
    /// What opens databases. Nobody is asked yet.
    fn stores(&self, app: &str, config: &Config) -> Result<Arc<dyn Stores>, BoxError>;

    /// The broker that spreads events, if the configuration names one. It is not needed to start: while it cannot be
    /// reached, consumers read the logs.
    fn carrier<'a>(
        &'a self,
        app: &'a str,
        config: &'a Config,
    ) -> BoxFuture<'a, Result<Option<Arc<dyn Carrier>>, BoxError>>;
}
