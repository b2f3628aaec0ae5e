//! Removes versions that nobody needs any more. The live one does not depend on it.

use std::time::Duration;

use divisi_contract::error::Chain;
use divisi_store::OpenError;
use tokio::time::Instant;
use tracing::{info, warn};

use super::control::Change;
use super::{Projection, ProjectionError};
use crate::consumer::ConsumerOptions;

/// How removing goes: what fails is tried again, later and later, for ever.
#[derive(Default)]
pub(super) struct Removal {
    attempts: u32,
    again_at: Option<Instant>,
}

impl Removal {
    /// `due`, unless it failed a moment ago.
    pub(super) fn not_before(&self, due: Option<Instant>) -> Option<Instant> {
        due.map(|due| self.again_at.map_or(due, |again_at| due.max(again_at)))
    }

    /// Whether it worked. Only trouble of another kind than that something cannot be removed is an error.
    pub(super) fn went(
        &mut self,
        name: &str,
        removed: Result<(), ProjectionError>,
    ) -> Result<bool, ProjectionError> {
        let failed = match removed {
            Ok(()) => {
                if std::mem::take(&mut self.attempts) > 0 {
                    info!(
                        projection.name = name,
                        "the version of `{name}` that could not be removed is gone now"
                    );
                }
                self.again_at = None;
                return Ok(true);
            }
            Err(failed @ ProjectionError::Remove { .. }) => failed,
            Err(error) => return Err(error),
        };
        self.attempts += 1;
        let pause = ConsumerOptions::default().backoff.after(self.attempts);
        self.again_at = Some(Instant::now() + pause);
        if self.attempts == 1
            && let ProjectionError::Remove { version, .. } = &failed
        {
            warn!(
                projection.name = name,
                projection.version = version,
                "{}; trying it again until it works: end what has it open, or let this process write there",
                Chain(&failed)
            );
        }
        Ok(false)
    }
}

impl Projection {
    /// When the version before is needed no more.
    pub(super) fn expires(&self) -> Option<Instant> {
        let (_, until) = self.row.previous?;
        let now = self.control.backend().clock().now();
        let left = u64::try_from(until.0.saturating_sub(now.0)).unwrap_or(0);
        Some(Instant::now() + Duration::from_micros(left))
    }

    /// Removes what is in the way of a new version: the one before, and what an earlier try may have left.
    pub(super) async fn make_way(&mut self) -> Result<(), ProjectionError> {
        if !self.is_alone() {
            return self.claim().await;
        }
        if self.row.building.is_some_and(|(_, shape)| shape == self.spec.shape) {
            // It was begun before, and goes on where it was.
            return Ok(());
        }
        self.forget_previous().await?;
        self.remove(self.row.active + 1).await
    }

    pub(super) async fn forget_previous(&mut self) -> Result<(), ProjectionError> {
        let Some((version, _)) = self.row.previous else { return Ok(()) };
        if let Some((_, store)) = self.previous.take() {
            store.close().await;
        }
        if !self.is_alone() {
            return self.forget_among_others().await;
        }
        self.remove(version).await?;
        self.change(Change::ForgetPrevious).await
    }

    pub(super) async fn is_there(&self, version: u32) -> Result<bool, ProjectionError> {
        let there = self.stores.exists(&self.spec.store_name(version)).await;
        there.map_err(|source| self.cannot_remove(version, source))
    }

    pub(super) async fn remove(&self, version: u32) -> Result<(), ProjectionError> {
        let removed = self.stores.remove(&self.spec.store_name(version)).await;
        removed.map_err(|source| self.cannot_remove(version, source))
    }

    pub(super) fn cannot_remove(&self, version: u32, source: OpenError) -> ProjectionError {
        ProjectionError::Remove { name: self.spec.name.to_owned(), version, source }
    }
}
