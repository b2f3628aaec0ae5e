//! Takes what comes out of a carrier, and says which lanes change their feed.

use divisi_store::inbox::Watermark;
use divisi_store::{Epochs, Lane, Pos, Read, StoreError};
use tokio::time::{Duration, Instant};
use tracing::{debug, info, warn};

use super::{Input, Next};
use crate::carrier;
use crate::consumer::carried::Came;
use crate::consumer::entering;
use crate::lane::Switch;

impl Input {
    /// Reads the list of epochs that was entered, and where the carrier was left.
    pub(super) async fn begin_carried(&mut self, marks: &[(Lane, Watermark)]) -> Result<(), StoreError> {
        let inbox = &self.inbox;
        let (list, hints) = self
            .shared
            .store
            .read(async |read: &mut Read| {
                Ok::<_, StoreError>((entering::list(read, inbox, marks).await?, inbox.hints(read).await?))
            })
            .await?;
        let epoch = marks.iter().map(|(_, at)| at.epoch).max().unwrap_or_default();
        let mine = self.mine();
        if let Some(carried) = &mut self.carried {
            carried.begin(marks, epoch, list, (&hints, mine), Instant::now());
        }
        Ok(())
    }

    /// Takes what is next out of the carrier, and looks which lanes change their feed.
    pub(super) fn turn(&mut self) {
        let now = Instant::now();
        let Some(carried) = &mut self.carried else { return };
        carried.open(&self.inbox, now);
        let switched = carried.turn(&mut self.lanes, self.shared.options.batch_events_max, now);
        if let Some(lanes) = carried.asks_heads(now) {
            let heads = self.question(&lanes, 0, Duration::ZERO);
            if let Some(carried) = &mut self.carried {
                carried.asked_heads(heads);
            }
        }
        for (lane, switch) in switched {
            self.switched(lane, switch);
        }
    }

    pub(super) fn switched(&self, lane: Lane, switch: Switch) {
        let why = match switch {
            Switch::Gap => "to the log: what comes next did not arrive",
            Switch::Behind => "to the log: the source has had more for a while",
            Switch::Leads => "to the carrier: it leads",
        };
        // One line a lane would bury a carrier's end, which is told once; how many fell is counted.
        debug!(
            consumer.name = %self.shared.name,
            event.source = %self.inbox.source,
            event.topic = %self.inbox.topic,
            event.lane = lane.0,
            "lane {lane} of `{}` goes {why}",
            self.inbox.topic
        );
        let input = self.carried.as_ref().map_or(crate::lane::Input::Log, |carried| carried.input(lane));
        self.tell(|status| {
            status.falls += u64::from(switch != Switch::Leads);
            if let Some(lane) = status.lanes.get_mut(usize::from(lane.0)) {
                lane.input = input;
            }
        });
    }

    /// Something has come out of the carrier, or the source has said where its lanes end.
    pub(super) fn came(&mut self, came: Came) -> Option<Next> {
        let now = Instant::now();
        match came {
            Came::Arrivals(arrivals) => {
                let mut next = None;
                for arrival in arrivals {
                    match arrival {
                        carrier::Carried::Record(record, hint) => {
                            let mine = record.source == self.inbox.source && record.topic == self.inbox.topic;
                            if let Some(carried) = self.carried.as_mut().filter(|_| mine) {
                                carried.arrived(record, hint, now);
                            }
                        }
                        carrier::Carried::Beacon { epochs, heads } => {
                            next = self.heads(epochs, &heads, true).or(next);
                        }
                    }
                }
                next
            }
            Came::Heads(Ok(fetched)) => self.heads(fetched.epochs, &fetched.heads, false),
            Came::Heads(Err(error)) => {
                debug!(event.topic = %self.inbox.topic, "where the lanes end is not known: {error}");
                None
            }
            Came::Opened => {
                if self.carried.as_mut().is_some_and(|carried| carried.works(now)) {
                    info!(event.topic = %self.inbox.topic, "the carrier brings `{}` again", self.inbox.topic);
                }
                None
            }
            Came::Closed(error) => {
                if self.carried.as_mut().is_some_and(|carried| carried.failed(now)) {
                    warn!(
                        event.topic = %self.inbox.topic,
                        "the carrier brings nothing of `{}`, which is read from the log where it must: {error}",
                        self.inbox.topic
                    );
                }
                None
            }
        }
    }

    /// The source's lanes end here, in this epoch: it said so itself, or in a beacon.
    pub(super) fn heads(&mut self, epochs: Epochs, heads: &[(Lane, Pos)], beacon: bool) -> Option<Next> {
        let carried = self.carried.as_mut()?;
        let current = epochs.current();
        if current > self.epoch {
            return (!beacon || carried.heard(epochs, heads)).then_some(Next::Enter);
        }
        if current == self.epoch {
            carried.learnt(heads, Instant::now());
        }
        None
    }
}
