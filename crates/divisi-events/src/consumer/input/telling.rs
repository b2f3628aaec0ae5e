//! Tells people and the board how it goes: a trouble once when it begins and once when it ends.

use divisi_store::StoreError;
use tokio::time::Instant;
use tracing::{info, warn};

use super::Input;
use crate::consumer::status::{InputStatus, LaneState};

impl Input {
    pub(super) fn source_failed(&mut self, reason: String) {
        if self.source.again(Instant::now()) {
            warn!(
                consumer.name = %self.shared.name,
                event.source = %self.inbox.source,
                event.topic = %self.inbox.topic,
                "`{}` brings nothing of `{}`, it is asked again and again: {reason}",
                self.inbox.source,
                self.inbox.topic
            );
        }
        self.tell(|status| status.trouble = Some(reason));
    }

    pub(super) fn source_works(&mut self) {
        if let Some(span) = self.source.over(Instant::now()) {
            info!(
                consumer.name = %self.shared.name,
                event.source = %self.inbox.source,
                event.topic = %self.inbox.topic,
                "`{}` answers again, after {span:?}",
                self.inbox.source
            );
            self.tell(|status| status.trouble = None);
        }
    }

    pub(super) fn store_failed(&mut self, what: &str, error: &StoreError) {
        if self.store.again(Instant::now()) {
            warn!(
                consumer.name = %self.shared.name,
                event.topic = %self.inbox.topic,
                error = %error,
                "{what}, it is tried again and again"
            );
        }
        let reason = format!("{what}: {error}");
        self.tell(|status| status.trouble = Some(reason));
    }

    pub(super) fn store_works(&mut self) {
        if self.store.over(Instant::now()).is_some() {
            self.tell(|status| status.trouble = None);
        }
    }

    pub(super) fn tell_lane(&self, n: usize, state: LaneState) {
        self.tell(|status| {
            if let Some(lane) = status.lanes.get_mut(n) {
                lane.state = state;
            }
        });
    }

    pub(super) fn tell(&self, change: impl FnOnce(&mut InputStatus)) {
        self.shared.board.tell(self.place, change);
    }
}
