//! librdkafka blocks where it closes and where it asks: that is kept off the threads that poll futures.

use std::ops::Deref;

use divisi_events::carrier::CarrierError;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

/// Drops what it holds on a thread for blocking work.
///
/// The runtime owns that thread and waits for it at its end; without a runtime it is dropped where it is.
pub(crate) struct Elsewhere<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Elsewhere<T> {
    pub(crate) fn new(value: T) -> Elsewhere<T> {
        Elsewhere(Some(value))
    }
}

impl<T: Send + 'static> Deref for Elsewhere<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl<T: Send + 'static> Drop for Elsewhere<T> {
    fn drop(&mut self) {
        let (Some(value), Ok(runtime)) = (self.0.take(), Handle::try_current()) else { return };
        runtime.spawn_blocking(move || drop(value));
    }
}

/// Does `work` on a thread for blocking work. It is done to its end even if nobody waits for it any more.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CarrierError> + Send + 'static,
) -> Result<T, CarrierError> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(CarrierError::Unavailable("the runtime ends".to_owned())),
        },
    }
}
