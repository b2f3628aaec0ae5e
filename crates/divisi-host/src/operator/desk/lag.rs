//! How far consumers are, and how much of a log comes after them.

use std::sync::Arc;

use divisi_contract::event::LANES;
use divisi_events::consumer::{InputStatus, LaneState};
use divisi_events::epochs::beyond;
use divisi_store::inbox::Inbox;
use divisi_store::outbox::{self, PageWanted};
use divisi_store::{Epoch, Lane, Pos, Read, StoreError};

use super::parked::paused;
use super::{Applying, Desk};
use crate::operator::answers::{ReaderState, Standing, Unread};
use crate::operator::protocol::Refused;

impl Desk {
    pub(super) async fn standing(&self) -> Result<Vec<Standing>, Refused> {
        let mut all = Vec::new();
        for applying in self.applying().await? {
            for (source, topic) in &applying.inputs {
                all.push(standing(&applying, source.as_str(), topic).await?);
            }
        }
        Ok(all)
    }

    /// How many events of `topic` come after these places, and since when the oldest of them waits.
    pub(super) async fn unread(&self, topic: &str, lanes: &[(Lane, Epoch, Pos)]) -> Result<Unread, Refused> {
        let topic: Arc<str> = Arc::from(self.topic(topic)?);
        // A consumer that has never run has no watermarks yet, and everything before it.
        let place = |lane| lanes.iter().find(|(known, ..)| *known == lane).copied();
        let lanes: Vec<(Lane, Epoch, Pos)> =
            (0..LANES).map(Lane).map(|lane| place(lane).unwrap_or((lane, Epoch(0), Pos(0)))).collect();
        let wanted = PageWanted {
            topic: Arc::clone(&topic),
            lanes: lanes.iter().map(|(lane, _, pos)| (*lane, *pos)).collect(),
            max_records: 0,
            max_bytes: 0,
        };
        let source = self.service();
        let read = async |read: &mut Read| {
            let page = outbox::read_page(read, source, &wanted).await?;
            let mut unread = Unread { n_events: 0, since: None, now: read.now() };
            for ((lane, epoch, pos), (_, head)) in lanes.iter().zip(&page.heads) {
                let known = page.epochs.known.contains(epoch);
                let shared = if known { beyond(&page.epochs, *lane, *epoch).min(*pos) } else { Pos(0) };
                if shared < *head {
                    unread.n_events += head.0 - shared.0;
                    let oldest = outbox::appended_at(read, &topic, *lane, shared.next()).await?;
                    unread.since = unread.since.into_iter().chain(oldest).min();
                }
            }
            Ok::<_, StoreError>(unread)
        };
        Ok(self.store.read(read).await?)
    }
}

async fn standing(applying: &Applying, source: &str, topic: &'static str) -> Result<Standing, Refused> {
    let inbox =
        Inbox { consumer: Arc::clone(&applying.consumer), source: source.into(), topic: topic.into() };
    let lanes = applying.store.read(async |read: &mut Read| inbox.read(read).await).await?;
    let counts = applying.parked.counts().await?;
    let status = applying.observer.as_ref().map(|observer| observer.status());
    let input = status.as_ref().and_then(|status| status.input(source, topic));
    let paused: Vec<_> =
        paused(applying).into_iter().filter(|lane| lane.source == source && lane.topic == topic).collect();
    Ok(Standing {
        reader: applying.consumer.to_string(),
        version: applying.version,
        source: source.to_owned(),
        topic: topic.to_owned(),
        lanes: lanes.into_iter().map(|(lane, mark)| (lane, mark.epoch, mark.pos)).collect(),
        state: input.map_or(ReaderState::NotRunning, state),
        trouble: input.map(trouble).unwrap_or_default(),
        paused,
        n_diverged: input.map_or(0, |input| {
            input.diverged.iter().map(|diverged| diverged.applied.0 - diverged.shared.0).sum()
        }),
        n_parked: counts.waiting + counts.retrying + counts.dead,
    })
}

/// The worst of its lanes.
fn state(input: &InputStatus) -> ReaderState {
    let any = |is: fn(&LaneState) -> bool| input.lanes.iter().any(|lane| is(&lane.state));
    if input.ended.is_some() || any(|state| matches!(state, LaneState::Stopped { .. })) {
        ReaderState::Stopped
    } else if any(|state| matches!(state, LaneState::Paused { .. })) {
        ReaderState::Paused
    } else if input.trouble.is_some() || any(|state| matches!(state, LaneState::BackingOff { .. })) {
        ReaderState::BackingOff
    } else {
        ReaderState::Following
    }
}

/// What is in the way, each once.
fn trouble(input: &InputStatus) -> Vec<String> {
    let mut words: Vec<String> = input.ended.iter().chain(&input.trouble).cloned().collect();
    for lane in &input.lanes {
        if let LaneState::BackingOff { reason, .. } | LaneState::Stopped { reason } = &lane.state
            && !words.contains(reason)
        {
            words.push(reason.clone());
        }
    }
    words
}
