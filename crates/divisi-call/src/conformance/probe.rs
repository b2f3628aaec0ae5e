//! The contract that the suite calls, and the service behind it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use divisi_contract::{
    Answer, CallError, CauseKind, Context, FieldError, Invalid, KeptAnswers, Keyed, codec, refuse,
};
use tokio::sync::watch;

use crate::{BoxFuture, Served};

/// A value with everything that travels badly.
#[divisi_macros::data(crate = crate)]
#[derive(Default)]
pub(super) struct Thing {
    pub(super) text: String,
    pub(super) largest: u64,
    pub(super) smallest: i64,
    pub(super) real: f64,
    pub(super) nothing: Option<String>,
    pub(super) something: Option<Box<Thing>>,
    pub(super) by_name: BTreeMap<String, Vec<u8>>,
    pub(super) shape: Shape,
    pub(super) unit: (),
}

/// Every kind of variant.
#[divisi_macros::data(crate = crate)]
#[derive(Default)]
pub(super) enum Shape {
    #[default]
    Point,
    Circle(f64),
    Box {
        width: u32,
        height: u32,
    },
}

/// What the callee saw of the context.
#[divisi_macros::data(crate = crate)]
pub(super) struct Seen {
    pub(super) caller: String,
    pub(super) trace_id: String,
    pub(super) left_ms: Option<u64>,
    pub(super) key: Option<String>,
}

/// Why the probe says no.
#[divisi_macros::refusal(crate = crate)]
pub(super) enum ProbeRefused {
    #[refuse(404, "no such thing")]
    NoSuchThing,
    #[refuse(409, "{thing} is {by} too large")]
    TooLarge { thing: String, by: u64 },
    #[refuse(422, "the input breaks a rule: {0}")]
    Invalid(#[from] Invalid),
}

/// A contract with everything that a call can meet.
#[divisi_macros::contract(crate = crate)]
pub(super) trait Probe {
    /// Answers with its argument.
    #[call(idempotent)]
    async fn echo(&self, cx: &Context, thing: Thing) -> Answer<Thing, ProbeRefused>;
    /// Refuses.
    async fn refuse(&self, cx: &Context, with: ProbeRefused) -> Answer<(), ProbeRefused>;
    /// Finds everything wrong.
    async fn check(&self, cx: &Context, fields: Vec<String>) -> Answer<(), ProbeRefused>;
    /// Says what it saw.
    async fn look(&self, cx: &Context) -> Answer<Seen>;
    /// Panics.
    async fn panic(&self, cx: &Context) -> Answer<()>;
    /// Waits for ever.
    async fn wait(&self, cx: &Context) -> Answer<()>;
    /// Adds to a sum and answers with it.
    #[call(keyed)]
    async fn add(&self, cx: &Context, amount: u64) -> Answer<u64>;
}

/// A contract that nobody serves.
#[allow(dead_code, reason = "only its client is used")]
#[divisi_macros::contract(crate = crate)]
pub(super) trait Absent {
    /// Never runs.
    async fn call(&self, cx: &Context) -> Answer<()>;
}

/// The service behind [`Probe`], and what a test sees of it.
#[derive(Default)]
pub(super) struct Service {
    /// How many calls of `wait` have begun.
    pub(super) waiting: watch::Sender<usize>,
    /// How many of them were dropped.
    pub(super) dropped: watch::Sender<usize>,
    sum: Mutex<u64>,
    kept: Arc<Kept>,
}

impl Service {
    /// What serves `service`.
    pub(super) fn served(service: &Arc<Service>) -> Served {
        let kept: Arc<dyn KeptAnswers> = Arc::clone(&service.kept) as _;
        ProbeClient::serve(Arc::clone(service), Some(kept))
    }

    /// What was added up.
    pub(super) fn sum(&self) -> u64 {
        *self.sum.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Probe for Service {
    async fn echo(&self, _cx: &Context, thing: Thing) -> Answer<Thing, ProbeRefused> {
        // Some answers come at once and some later, so that they overtake each other.
        if thing.largest % 2 == 1 {
            tokio::task::yield_now().await;
        }
        Ok(thing)
    }

    async fn refuse(&self, _cx: &Context, with: ProbeRefused) -> Answer<(), ProbeRefused> {
        refuse(with)
    }

    async fn check(&self, _cx: &Context, fields: Vec<String>) -> Answer<(), ProbeRefused> {
        let errors = fields.iter().map(|field| FieldError::of(field, "is wrong")).collect();
        Invalid { errors }.done()?;
        Ok(())
    }

    async fn look(&self, cx: &Context) -> Answer<Seen> {
        let left = cx.deadline().left(crate::now());
        Ok(Seen {
            caller: cx.caller().to_string(),
            trace_id: cx.trace().trace_id.to_string(),
            left_ms: left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
            key: cx.idempotency_key().map(str::to_owned),
        })
    }

    async fn panic(&self, _cx: &Context) -> Answer<()> {
        panic!("the probe was asked to panic")
    }

    async fn wait(&self, _cx: &Context) -> Answer<()> {
        self.waiting.send_modify(|count| *count += 1);
        let _dropped = CountsItsDrop(&self.dropped);
        std::future::pending().await
    }

    async fn add(&self, cx: &Context, amount: u64) -> Answer<u64> {
        let sum = {
            let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
            *sum += amount;
            *sum
        };
        if let Some(keyed) = cx.keyed() {
            self.kept.keep(keyed, &sum);
        }
        Ok(sum)
    }
}

struct CountsItsDrop<'a>(&'a watch::Sender<usize>);

impl Drop for CountsItsDrop<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count += 1);
    }
}

/// Kept answers for as long as the service lives.
#[derive(Default)]
struct Kept(Mutex<HashMap<Place, KeptAnswer>>);

/// Scope and key.
type Place = (String, String);

/// The fingerprint of the arguments, and what was answered to them.
type KeptAnswer = ([u8; 16], Bytes);

impl Kept {
    fn keep(&self, keyed: &Keyed, answer: &u64) {
        let answer = codec::encode(answer).expect("a number can be encoded");
        let place = (keyed.scope.clone(), keyed.key.to_string());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(place, (keyed.fingerprint, answer));
    }

    fn find(&self, keyed: &Keyed) -> Result<Option<Bytes>, CallError> {
        let place = (keyed.scope.clone(), keyed.key.to_string());
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&place) {
            None => Ok(None),
            Some((fingerprint, answer)) if *fingerprint == keyed.fingerprint => Ok(Some(answer.clone())),
            Some(_) => Err(CallError::not_run(CauseKind::KeyReused, "the key was used with other arguments")),
        }
    }
}

impl KeptAnswers for Kept {
    fn kept<'a>(&'a self, keyed: &'a Keyed) -> BoxFuture<'a, Result<Option<Bytes>, CallError>> {
        Box::pin(std::future::ready(self.find(keyed)))
    }
}
