//! One handler, one event: whatever it does, it ends as a [`Failure`] or well.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use divisi_contract::Trace;
use divisi_store::{Record, StoreErrorKind, Tx};
use tracing::Instrument;

use super::Shared;
use crate::handler::Failure;

/// Lets the handler of `record` work in `tx`.
///
/// A handler that panics, or that waits for something other than its database where the database cannot wait, fails
/// as one event: nothing else of the batch is to blame.
pub(super) async fn attempt(shared: &Shared, tx: &mut Tx, record: &Record) -> Result<(), Failure> {
    tx.forget_race();
    let trace = trace_of(record);
    if shared.emits {
        tx.set_cause(trace.unwrap_or_else(Trace::root).child(), Some(&record.position().to_string()));
    }
    let span = tracing::info_span!(
        "event",
        consumer.name = %shared.name,
        event.name = %record.kind,
        event.source = %record.source,
        event.topic = %record.topic,
        event.lane = record.lane.0,
        event.pos = record.pos.0,
        trace.id = tracing::field::Empty,
    );
    if let Some(trace) = trace.filter(|_| !span.is_disabled()) {
        span.record("trace.id", format_args!("{:032x}", trace.trace_id));
    }
    guarded(shared, record, shared.handlers.apply(tx, record).instrument(span)).await?;
    match tx.refused() {
        None => Ok(()),
        Some(refused) if refused.kind == StoreErrorKind::Event => {
            Err(Failure::Permanent(refused.message.clone()))
        }
        Some(refused) => Err(Failure::from(refused.clone())),
    }
}

/// Ends the work of a handler as a failure where it would panic, or wait in vain.
async fn guarded(
    shared: &Shared,
    record: &Record,
    work: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let mut work = pin!(work);
    poll_fn(|task| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(task))) {
        Ok(Poll::Ready(outcome)) => Poll::Ready(outcome),
        Ok(Poll::Pending) if shared.suspends => Poll::Pending,
        Ok(Poll::Pending) => Poll::Ready(Err(Failure::Permanent(format!(
            "the handler of `{}` waited for something other than its database; a handler makes no calls and does no I/O",
            record.kind
        )))),
        Err(panic) => Poll::Ready(Err(Failure::Unclassified(format!(
            "the handler of `{}` panicked: {}",
            record.kind,
            message(&*panic)
        )))),
    })
    .await
}

/// The place in its trace that an event was announced at.
fn trace_of(record: &Record) -> Option<Trace> {
    const HEADER: &str = r#""traceparent":""#;
    // Our own logs write it without a blank, and then no JSON needs to be read. A value that contains this text has
    // its quotes escaped, so it cannot be mistaken for the header.
    match record.headers.find(HEADER) {
        Some(at) => Trace::parse(record.headers[at + HEADER.len()..].split('"').next()?),
        None if record.headers.contains("traceparent") => Trace::parse(&record.header("traceparent")?),
        None => None,
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
