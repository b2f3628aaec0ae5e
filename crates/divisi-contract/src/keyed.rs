//! Answers that are kept under an idempotency key.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

use crate::{CallError, Keyed};

/// Where a service keeps the answers of its keyed methods; implemented by its store.
pub trait KeptAnswers: Send + Sync + 'static {
    /// The answer that was kept under this scope and key, encoded; `None` when there is none yet.
    ///
    /// Other arguments under the same key end in [`CauseKind::KeyReused`](crate::CauseKind::KeyReused).
    fn kept<'a>(
        &'a self,
        keyed: &'a Keyed,
    ) -> Pin<Box<dyn Future<Output = Result<Option<Bytes>, CallError>> + Send + 'a>>;
}
