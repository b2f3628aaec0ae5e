//! What calls of a service take while it works off a million events, beside the same calls when it is idle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use divisi::call::{Client as _, Place as Way, Route};
use divisi::contract::Deadline;
use divisi::{Answer, Context, Read, Store, Tx, params};
use hdrhistogram::Histogram;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::place::{Between, Services};
use super::sale::{Hear, SHELVES, Sold};
use crate::load::{histogram, micros};
use crate::report::{Aim, Report};

/// More than a million, so that it lasts for all rounds.
const EVENTS: u64 = 2_000_000;
/// Events of one transaction while the backlog is made.
const AT_ONCE: u64 = 1_000;
const ROUNDS: usize = 5;
const SPAN: Duration = Duration::from_millis(1_500);
/// Between two calls, whatever the last one does.
const EVERY: Duration = Duration::from_millis(2);
const TIMES: f64 = 3.0;

/// What the listener promises beside listening.
#[divisi::contract]
trait Visits {
    /// Counts one more: a transaction.
    async fn count(&self, cx: &Context) -> Answer<()>;
    /// How many there were: a read.
    async fn counted(&self, cx: &Context) -> Answer<i64>;
}

struct Service(Store);

impl Visits for Service {
    async fn count(&self, cx: &Context) -> Answer<()> {
        self.0
            .transact(cx, async |tx: &mut Tx| {
                tx.execute("UPDATE visit SET n = n + 1 WHERE id = $1", params![0_i64]).await?;
                Ok(())
            })
            .await
    }

    async fn counted(&self, _cx: &Context) -> Answer<i64> {
        let row: (i64,) = self
            .0
            .read(async |read: &mut Read| {
                read.query_one("SELECT n FROM visit WHERE id = $1", params![0_i64]).await
            })
            .await?;
        Ok(row.0)
    }
}

/// Makes the backlog, then measures calls with and without somebody working it off, in turn.
pub(super) fn measure(runtime: &Runtime, report: &mut Report) -> anyhow::Result<()> {
    let services = Services::open(runtime, Between::Process, Hear::new(0))?;
    let start = Instant::now();
    let event = |n| Sold { shelf: n % SHELVES, n: 0, note: String::new() };
    runtime.block_on(make(&services.shop.store, (EVENTS, AT_ONCE), event))?;
    report.condition(format!(
        "backlog: {EVENTS} events, made in {:.0?}; calls of the listener every {EVERY:?}, in process: a transaction of one UPDATE, a read \
         of one row; {ROUNDS} rounds in turn of {SPAN:?} idle and {SPAN:?} while it works the backlog off, which it never finished",
        start.elapsed()
    ));
    let route = Route::new("listener");
    let service = Arc::new(Service(services.listener.store.clone()));
    route.lead_to(Way::Local(vec![VisitsClient::serve(service, None)]));
    let visits = VisitsClient::over("bench".into(), route);
    calls(runtime, &visits, SPAN / 4)?;

    let (mut idle, mut beside) = (Found::default(), Found::default());
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        idle.push(&calls(runtime, &visits, SPAN)?);
        let listening = services.listen(runtime);
        // Once it is at it: entering reads the list of epochs and 64 watermarks first.
        runtime.block_on(listening.until(listening.applied() + 1))?;
        let (before, start) = (listening.applied(), Instant::now());
        beside.push(&calls(runtime, &visits, SPAN)?);
        let after = listening.applied();
        rates.push((after - before) as f64 / start.elapsed().as_secs_f64());
        runtime.block_on(listening.stop())?;
        ensure!(
            (after as u64) < EVENTS,
            "the backlog was worked off while its effect was measured, at {:.0} events/s",
            rates.last().copied().unwrap_or_default()
        );
    }
    report.figure("backlog, worked off beside calls", "events/s", &rates);
    for (name, idle, beside) in [
        ("transaction, p50", &idle.write_p50, &beside.write_p50),
        ("transaction, p99", &idle.write_p99, &beside.write_p99),
        ("read, p50", &idle.read_p50, &beside.read_p50),
        ("read, p99", &idle.read_p99, &beside.read_p99),
    ] {
        report.figure(format!("backlog, call with a {name}, idle"), "µs", idle);
        report.figure(format!("backlog, call with a {name}, beside it"), "µs", beside);
    }
    let aim = Aim::AtMost(TIMES);
    report.ratio("backlog, p99 of a call with a transaction ÷ idle", &beside.write_p99, &idle.write_p99, aim);
    report.ratio("backlog, p99 of a call with a read ÷ idle", &beside.read_p99, &idle.read_p99, aim);
    Ok(())
}

/// Makes a backlog of so many events, in transactions of so many.
pub(crate) async fn make(
    shop: &Store,
    (events, at_once): (u64, u64),
    event: impl Fn(u64) -> Sold + Sync,
) -> anyhow::Result<()> {
    let cx = Context::root("bench");
    for first in (0..events).step_by(at_once as usize) {
        let made: Answer<()> = shop
            .transact(&cx, async |tx: &mut Tx| {
                (first..first + at_once).for_each(|n| tx.emit(event(n)));
                Ok(())
            })
            .await;
        made.map_err(|error| anyhow!("{error:?}"))?;
    }
    Ok(())
}

/// Quantiles in microseconds, a value a round.
#[derive(Default)]
struct Found {
    write_p50: Vec<f64>,
    write_p99: Vec<f64>,
    read_p50: Vec<f64>,
    read_p99: Vec<f64>,
}

impl Found {
    fn push(&mut self, (writes, reads): &(Histogram<u64>, Histogram<u64>)) {
        self.write_p50.push(micros(writes, 0.5));
        self.write_p99.push(micros(writes, 0.99));
        self.read_p50.push(micros(reads, 0.5));
        self.read_p99.push(micros(reads, 0.99));
    }
}

/// Makes calls of both kinds at their pace; how long each took. A thread of its own keeps the pace, since the runtime's
/// timers are as coarse as what is measured, and late when it is busy.
fn calls(
    runtime: &Runtime,
    visits: &VisitsClient,
    span: Duration,
) -> anyhow::Result<(Histogram<u64>, Histogram<u64>)> {
    let (mut writes, mut reads) = (JoinSet::new(), JoinSet::new());
    let begin = Instant::now();
    let mut due = begin;
    while due < begin + span {
        due += EVERY;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let asked = Instant::now();
        let cx = Context::root("bench").with_deadline(Deadline::after(asked, Duration::from_secs(10)));
        let (writer, reader) = ((visits.clone(), cx.clone()), (visits.clone(), cx));
        // From here and not from its first poll: a call that could not even begin has waited too.
        writes.spawn_on(
            async move { writer.0.count(&writer.1).await.map(|()| asked.elapsed()) },
            runtime.handle(),
        );
        reads.spawn_on(
            async move { reader.0.counted(&reader.1).await.map(|_| asked.elapsed()) },
            runtime.handle(),
        );
    }
    runtime.block_on(async { Ok((collect(writes).await?, collect(reads).await?)) })
}

async fn collect<R: std::fmt::Debug + 'static>(
    mut calls: JoinSet<Result<Duration, divisi::CallError<R>>>,
) -> anyhow::Result<Histogram<u64>> {
    let mut took = histogram()?;
    while let Some(call) = calls.join_next().await {
        let call = call.context("a call panicked")?.map_err(|error| anyhow!("{error:?}"))?;
        took.saturating_record(call.as_nanos() as u64);
    }
    Ok(took)
}
