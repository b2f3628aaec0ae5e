//! Load in a closed loop: so many callers, each of which asks again when it has its answer.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Something that answers.
pub(crate) trait Peer: Clone + Send + 'static {
    /// Asks once and looks at the answer.
    fn ask(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// What a round of load came to.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Load {
    /// Answers a second.
    pub(crate) rate: f64,
    /// The time that half of them stayed below, in microseconds.
    pub(crate) p50: f64,
    /// The time that all but one in a hundred stayed below, in microseconds.
    pub(crate) p99: f64,
}

/// Times of a nanosecond to a minute, to three digits.
pub(crate) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).context("a histogram with impossible bounds")
}

/// A quantile in microseconds.
pub(crate) fn micros(times: &Histogram<u64>, quantile: f64) -> f64 {
    times.value_at_quantile(quantile) as f64 / 1_000.0
}

/// Asks each of `callers` for `span`, after `warm_up` of the same. The first error ends it.
pub(crate) async fn load<P: Peer>(
    callers: Vec<P>,
    warm_up: Duration,
    span: Duration,
) -> anyhow::Result<Load> {
    let begin = Instant::now() + warm_up;
    let end = begin + span;
    let callers: Vec<_> = callers.into_iter().map(|caller| tokio::spawn(one(caller, begin, end))).collect();
    let mut times = histogram()?;
    for caller in callers {
        times.add(caller.await.context("a caller panicked")??).context("times that do not add up")?;
    }
    Ok(Load {
        rate: times.len() as f64 / span.as_secs_f64(),
        p50: micros(&times, 0.5),
        p99: micros(&times, 0.99),
    })
}

/// Counts what is answered within the span, whenever it was asked: with many callers and few answers, most of those
/// that are answered have waited since before it began.
async fn one<P: Peer>(mut peer: P, begin: Instant, end: Instant) -> anyhow::Result<Histogram<u64>> {
    let mut times = histogram()?;
    let mut asked = Instant::now();
    while asked < end {
        peer.ask().await?;
        let answered = Instant::now();
        if (begin..end).contains(&answered) {
            times.saturating_record((answered - asked).as_nanos() as u64);
        }
        asked = answered;
    }
    Ok(times)
}
