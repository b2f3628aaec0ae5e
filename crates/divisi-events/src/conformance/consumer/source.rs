//! A log in memory whose answers a test can twist, and that can go back in time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use divisi_call::BoxFuture;
use divisi_contract::event::{LANES, lane_of};
use divisi_contract::{Answer, CallError, Context, Event, ServiceName};
use divisi_store::epoch::Fork;
use divisi_store::{Epoch, Epochs, Lane, Pos, Record, Timestamp};
use tokio::sync::watch;

use crate::fetch::{Feed, Fetch, FetchRefused, Fetched};

/// A log in memory.
pub(super) struct Source {
    name: ServiceName,
    topic: &'static str,
    past: Mutex<Past>,
    manner: Mutex<Manner>,
    changed: watch::Sender<()>,
}

/// What it holds: everything that a backup would.
#[derive(Debug, Clone, Default)]
pub(super) struct Past {
    lanes: BTreeMap<Lane, Vec<Arc<Record>>>,
    epochs: Epochs,
}

type Twist = Box<dyn FnMut(&Fetch, Fetched) -> Fetched + Send>;

/// How it answers.
#[derive(Default)]
struct Manner {
    /// Given first, one a question.
    errors: VecDeque<CallError<FetchRefused>>,
    /// Given always, while it is set.
    error: Option<CallError<FetchRefused>>,
    twist: Option<Twist>,
    asked: Vec<Fetch>,
}

impl Source {
    /// An empty log in its first epoch.
    pub(super) fn new(name: &str, topic: &'static str) -> Arc<Source> {
        let source = Source {
            name: name.into(),
            topic,
            past: Mutex::default(),
            manner: Mutex::default(),
            changed: watch::Sender::new(()),
        };
        source.begin_epoch(Epoch(10));
        Arc::new(source)
    }

    pub(super) fn emit<E: Event>(&self, event: &E) {
        let payload = serde_json::to_vec(event).expect("an event is JSON");
        let key = event.key().into_owned();
        self.append(E::NAME, &key, lane_of(&key, LANES), payload, r#"{"traceparent":""}"#);
    }

    pub(super) fn append(&self, kind: &str, key: &str, lane: u16, payload: Vec<u8>, headers: &str) {
        let lane = Lane(lane);
        {
            let mut past = self.past();
            let epoch = past.epochs.current();
            let records = past.lanes.entry(lane).or_default();
            let pos = records.last().map_or(Pos(0), |last| last.pos).next();
            records.push(Arc::new(Record {
                source: self.name.clone(),
                topic: self.topic.into(),
                lane,
                epoch,
                pos,
                kind: kind.into(),
                schema_v: 1,
                key: key.into(),
                headers: headers.into(),
                payload: payload.into(),
                at: Timestamp(1),
            }));
        }
        self.changed.send_replace(());
    }

    /// What a backup would hold now.
    pub(super) fn backup(&self) -> Past {
        self.past().clone()
    }

    /// Puts a backup back, and begins an epoch as every start does.
    pub(super) fn restore(&self, backup: &Past, epoch: i64) {
        *self.past() = backup.clone();
        self.begin_epoch(Epoch(epoch));
    }

    pub(super) fn begin_epoch(&self, epoch: Epoch) {
        {
            let mut past = self.past();
            let ends: Vec<(Lane, Pos)> = (0..LANES)
                .map(Lane)
                .map(|lane| {
                    (lane, past.lanes.get(&lane).and_then(|all| all.last()).map_or(Pos(0), |last| last.pos))
                })
                .collect();
            past.epochs.known.push(epoch);
            past.epochs.forks.extend(ends.into_iter().map(|(lane, fork)| Fork { lane, epoch, fork }));
        }
        self.changed.send_replace(());
    }

    /// Gives these errors first, one a question.
    pub(super) fn fail(&self, errors: impl IntoIterator<Item = CallError<FetchRefused>>) {
        self.manner().errors.extend(errors);
        self.changed.send_replace(());
    }

    /// Gives this error always, or no more.
    pub(super) fn fail_always(&self, error: Option<CallError<FetchRefused>>) {
        self.manner().error = error;
        self.changed.send_replace(());
    }

    /// Changes every answer that has records.
    pub(super) fn twist(&self, twist: impl FnMut(&Fetch, Fetched) -> Fetched + Send + 'static) {
        self.manner().twist = Some(Box::new(twist));
    }

    /// The questions so far.
    pub(super) fn asked(&self) -> Vec<Fetch> {
        self.manner().asked.clone()
    }

    /// The end of each lane that has one.
    pub(super) fn heads(&self) -> Vec<(Lane, Pos)> {
        let past = self.past();
        past.lanes.iter().filter_map(|(lane, all)| Some((*lane, all.last()?.pos))).collect()
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.past().epochs.current()
    }

    pub(super) fn records(&self) -> Vec<Arc<Record>> {
        self.past().lanes.values().flatten().cloned().collect()
    }

    fn answer(&self, want: &Fetch) -> Answer<Option<Fetched>, FetchRefused> {
        let past = self.past();
        let mut manner = self.manner();
        if let Some(error) = manner.errors.pop_front().or_else(|| manner.error.clone()) {
            return Err(error);
        }
        let current = past.epochs.current();
        if want.lanes.iter().any(|wanted| wanted.epoch > current) {
            return Err(CallError::Refused(FetchRefused::EpochAhead { current }));
        }
        let wants = |lane: Lane| want.lanes.iter().any(|wanted| wanted.lane == lane);
        let mut fetched = Fetched {
            epochs: Epochs {
                known: past.epochs.known.clone(),
                forks: past.epochs.forks.iter().filter(|fork| wants(fork.lane)).copied().collect(),
            },
            ..Fetched::default()
        };
        for wanted in &want.lanes {
            let all = past.lanes.get(&wanted.lane).map_or(&[][..], Vec::as_slice);
            fetched.heads.push((wanted.lane, all.last().map_or(Pos(0), |last| last.pos)));
            let room = want.max_records as usize - fetched.records.len();
            fetched.records.extend(all.iter().filter(|record| record.pos > wanted.pos).take(room).cloned());
        }
        let at_once = want.max_records == 0 || want.lanes.iter().any(|wanted| wanted.epoch < current);
        if fetched.records.is_empty() && !at_once {
            return Ok(None);
        }
        Ok(Some(match &mut manner.twist {
            Some(twist) if !fetched.records.is_empty() => twist(want, fetched),
            _ => fetched,
        }))
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn manner(&self) -> MutexGuard<'_, Manner> {
        self.manner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed for Source {
    fn fetch<'a>(&'a self, _cx: &'a Context, want: Fetch) -> BoxFuture<'a, Answer<Fetched, FetchRefused>> {
        Box::pin(async move {
            self.manner().asked.push(want.clone());
            let mut changed = self.changed.subscribe();
            let until = tokio::time::Instant::now() + Duration::from_millis(want.wait_ms.into());
            loop {
                if let Some(fetched) = self.answer(&want)? {
                    return Ok(fetched);
                }
                if tokio::time::timeout_at(until, changed.changed()).await.is_err() {
                    return Ok(Fetched { epochs: self.past().epochs.clone(), ..Fetched::default() });
                }
            }
        })
    }
}
