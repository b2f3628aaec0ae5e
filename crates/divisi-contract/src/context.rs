//! What travels with every call: deadline, trace, caller, idempotency key.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Deadline;

/// The name of a service: short, lower case, cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ServiceName(Arc<str>);

/// What travels with every call.
///
/// ```
/// use divisi_contract::Context;
///
/// let cx = Context::root("tests").with_key("order-17");
/// assert_eq!(cx.idempotency_key(), Some("order-17"));
/// ```
#[derive(Debug, Clone)]
pub struct Context {
    deadline: Deadline,
    trace: Trace,
    caller: ServiceName,
    idempotency_key: Option<Arc<str>>,
    /// Whether the key was given here, and not by whoever calls: only then it goes along.
    key_is_own: bool,
    keyed: Option<Arc<Keyed>>,
}

/// The place in a trace: W3C trace context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trace {
    /// The whole request, across services.
    pub trace_id: u128,
    /// This step of it.
    pub span_id: u64,
    /// Whether somebody records it.
    pub sampled: bool,
}

/// Under what a keyed method keeps its answer: made by the seam, read by the store's `transact`.
#[derive(Debug)]
pub struct Keyed {
    /// Method and caller, `comments.add/gateway`.
    pub scope: String,
    /// The caller's key.
    pub key: Arc<str>,
    /// A hash of the arguments: the same key with other arguments is refused.
    pub fingerprint: [u8; 16],
    used: std::sync::atomic::AtomicBool,
}

impl Context {
    /// The context of work that starts here, in the name of `caller`: no deadline, a new trace.
    pub fn root(caller: impl Into<ServiceName>) -> Context {
        Context {
            deadline: Deadline::NEVER,
            trace: Trace::root(),
            caller: caller.into(),
            idempotency_key: None,
            key_is_own: false,
            keyed: None,
        }
    }

    /// Until when the answer is of use.
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// The place in the trace.
    pub fn trace(&self) -> Trace {
        self.trace
    }

    /// Who calls, as it says itself: on the wire nobody proves it, so nothing is allowed because of it.
    pub fn caller(&self) -> &ServiceName {
        &self.caller
    }

    /// The caller's idempotency key, if it gave one.
    pub fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }

    /// Under what the answer is to be kept, inside a keyed method that was called with a key.
    pub fn keyed(&self) -> Option<&Arc<Keyed>> {
        self.keyed.as_ref()
    }

    /// The same with the sooner of its deadline and `deadline`.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Deadline) -> Context {
        self.deadline = self.deadline.sooner(deadline);
        self
    }

    /// The same in another place of the trace.
    #[must_use]
    pub fn with_trace(mut self, trace: Trace) -> Context {
        self.trace = trace;
        self
    }

    /// The same with an idempotency key, for keyed calls that are made with it. It goes to the callee, and no further:
    /// a method that calls others gives them keys of its own, or none.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Arc<str>>) -> Context {
        self.idempotency_key = Some(key.into());
        self.key_is_own = true;
        self
    }

    /// What a callee sees when `caller` makes a call with this context. The key goes along only `with_key`, and only
    /// when it was given here: it belongs to one call, so a method that calls others does not hand its own caller's on.
    #[must_use]
    pub fn for_call(&self, caller: &ServiceName, with_key: bool) -> Context {
        Context {
            deadline: self.deadline,
            trace: self.trace,
            caller: caller.clone(),
            idempotency_key: self.idempotency_key.clone().filter(|_| with_key && self.key_is_own),
            key_is_own: false,
            keyed: None,
        }
    }

    /// The same, inside a keyed method: `transact` will keep the answer under `keyed`.
    #[must_use]
    pub fn with_keyed(mut self, keyed: Keyed) -> Context {
        self.keyed = Some(Arc::new(keyed));
        self.key_is_own = false;
        self
    }
}

impl Keyed {
    /// Keeps an answer under `key` in `scope`, for arguments with `fingerprint`.
    pub fn new(scope: String, key: Arc<str>, fingerprint: [u8; 16]) -> Keyed {
        Keyed { scope, key, fingerprint, used: std::sync::atomic::AtomicBool::new(false) }
    }

    /// Marks the one transaction of the method as begun; `false` when it had been already.
    pub fn begin(&self) -> bool {
        !self.used.swap(true, std::sync::atomic::Ordering::Relaxed)
    }

    /// Allows one more try, after a transaction that certainly did not happen.
    pub fn did_not_happen(&self) {
        self.used.store(false, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Trace {
    /// A new trace.
    pub fn root() -> Trace {
        Trace { trace_id: fastrand::u128(1..), span_id: fastrand::u64(1..), sampled: true }
    }

    /// A new step of the same trace.
    #[must_use]
    pub fn child(self) -> Trace {
        Trace { span_id: fastrand::u64(1..), ..self }
    }

    /// Reads a `traceparent`; `None` when it is not one.
    pub fn parse(text: &str) -> Option<Trace> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex = |s: &str, n: usize| {
            s.len() == n && s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        if !hex(version, 2) || version == "ff" || !hex(trace, 32) || !hex(span, 16) || !hex(flags, 2) {
            return None;
        }
        let (trace_id, span_id) =
            (u128::from_str_radix(trace, 16).ok()?, u64::from_str_radix(span, 16).ok()?);
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        (trace_id != 0 && span_id != 0).then_some(Trace { trace_id, span_id, sampled })
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

impl ServiceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ServiceName {
    fn from(name: &str) -> ServiceName {
        ServiceName(name.into())
    }
}

impl From<&ServiceName> for ServiceName {
    fn from(name: &ServiceName) -> ServiceName {
        name.clone()
    }
}

impl From<String> for ServiceName {
    fn from(name: String) -> ServiceName {
        ServiceName(name.into())
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
