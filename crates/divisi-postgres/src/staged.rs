//! The staged outbox: events of a service whose transactions are stricter than READ COMMITTED get their numbers behind COMMIT.
//!
//! Whoever comes first numbers them: this process right after its own, another one when it finds some, and who stops what it
//! leaves. One numbers at a time, behind a lock and then those of the lanes, so who comes second finds nothing left.

use std::sync::Arc;
use std::time::Duration;

use divisi_contract::ServiceName;
use divisi_store::{Class, Epoch, Lane, OpenError, Pos, Record, StoreError, StoreErrorKind, Timestamp};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Row;

use crate::core::{Core, closed};
use crate::epochs::{BEGIN, Reason, column, one};
use crate::error::{OTHER_LIFE, code, open_error, store_error};
use crate::link::{Ending, Link, Permits};
use crate::place::{Place, refused};
use crate::watch;

/// How many events get their numbers in one transaction at the most: their lanes are locked so long.
const AT_ONCE: i32 = 500;
/// How many bytes of them, beside the last one.
const BYTES_AT_ONCE: i64 = 4 * 1024 * 1024;
/// How often a process looks for what another one has put down and not numbered: it may have died in between.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long after a failure the next try comes.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a stop may take to number what is left; the next process does the rest.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);
/// How long a start waits for processes that have the service the other way and are about to end.
const OTHERS_WITHIN: Duration = Duration::from_secs(3);

const NUMBER: &str = "SELECT topic, lane, pos, epoch, type, schema_v, key, headers, payload, at FROM divisi_number_staged($1, $2)";
/// Gives numbers until it is aborted; its owner is the store.
pub(crate) async fn keep_numbering(core: Arc<Core>) {
    let mut failing = false;
    loop {
        match number(&core).await {
            Ok(n) => {
                if std::mem::take(&mut failing) {
                    tracing::info!(service.name = %core.source, "staged events of `{}` are numbered again", core.source);
                }
                if n == 0 {
                    // A wake-up that comes before is kept.
                    drop(timeout(LOOK_EVERY, core.staged.notified()).await);
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(
                        service.name = %core.source,
                        error = &error as &dyn std::error::Error,
                        "staged events of `{}` get no numbers at the moment, so nobody hears of them: {error}",
                        core.source
                    );
                }
                sleep(PAUSE).await;
            }
        }
    }
}

/// Numbers what is there, as much as one transaction takes; how many.
async fn number(core: &Core) -> Result<usize, StoreError> {
    match number_once(core).await {
        Err(error) if code(&error) == Some(OTHER_LIFE) => {
            core.begin_epoch(Reason::OtherLife).await?;
            number_once(core).await
        }
        done => done,
    }
}

async fn number_once(core: &Core) -> Result<usize, StoreError> {
    let link = core.begin(Some(Class::Upkeep), BEGIN).await?;
    number_on(core, link).await
}

async fn number_on(core: &Core, mut link: Link) -> Result<usize, StoreError> {
    let rows = match some(&mut link).await {
        Ok(rows) => rows,
        Err(error) => {
            link.roll_back().await;
            return Err(error);
        }
    };
    if rows.is_empty() {
        link.roll_back().await;
        return Ok(0);
    }
    let mut records: Vec<Arc<Record>> =
        rows.iter().map(|row| record(&core.source, row).map(Arc::new)).collect::<Result<_, _>>()?;
    records.sort_by(|a, b| (&a.topic, a.lane, a.pos).cmp(&(&b.topic, b.lane, b.pos)));
    match link.commit(async |_| Ok(())).await {
        Ending::Committed(()) => {
            core.committed(&records);
            Ok(records.len())
        }
        Ending::Undone(error) => Err(error),
        Ending::Unknown(error) => {
            core.forget();
            Err(error)
        }
    }
}

/// Numbers what is left when the store closes and nothing new can come, on the last connection. What it cannot, the next
/// process does.
pub(crate) async fn leave(core: &Core) {
    if !core.isolation.is_strict() || core.topics.is_empty() {
        return;
    }
    let left = async {
        loop {
            // The store's own connections are free, and nobody gets a permit for one any more.
            let permit = Arc::new(Semaphore::new(1)).acquire_owned().await;
            let link = core.begin_on(Permits::of_nobody(permit.map_err(|_| closed())?), BEGIN).await?;
            if number_on(core, link).await? == 0 {
                return Ok::<(), StoreError>(());
            }
        }
    };
    let why = match timeout(LEAVE_WITHIN, left).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it takes longer than {LEAVE_WITHIN:?}"),
    };
    tracing::warn!(service.name = %core.source, "staged events of `{}` may stay without numbers until its next process: {why}", core.source);
}

/// Makes the service direct or staged, as its isolation wants it. What is still staged gets its numbers first. While another
/// process has it the other way, this one is refused: all that the other one would announce from now on would be.
pub(crate) async fn settle(core: &Core, place: &Place) -> Result<(), OpenError> {
    let failed = |error| open_error(&place.what, error);
    if is_settled(core).await.map_err(failed)? {
        return Ok(());
    }
    let until = Instant::now() + OTHERS_WITHIN;
    while let Some(others) = others(core, place).await.map_err(failed)? {
        if Instant::now() >= until {
            let why = format!(
                "other processes of the service have it open with another `isolation` (the server's sessions {others}); end all of them before it \
                 changes between `read committed` and a stricter one"
            );
            return Err(refused(&place.what, &why));
        }
        sleep(PAUSE).await;
    }
    // Most of it in small transactions, before all lanes are locked.
    while number(core).await.map_err(failed)? > 0 {}
    go_over(core).await.map_err(failed)
}

/// Whether it is as it should be, with nothing staged where nobody looks.
async fn is_settled(core: &Core) -> Result<bool, StoreError> {
    let mut link = core.begin(None, BEGIN).await?;
    let sql = "SELECT staged, EXISTS (SELECT 1 FROM divisi_outbox_staged) FROM divisi_meta";
    let row = one(link.ours(sql, &[]).await?)?;
    link.roll_back().await;
    let (staged, left): (bool, bool) = (column(&row, 0)?, column(&row, 1)?);
    let strict = core.isolation.is_strict();
    Ok(staged == strict && (strict || !left))
}

/// The sessions of other processes that have the service open, if there are any.
async fn others(core: &Core, place: &Place) -> Result<Option<String>, StoreError> {
    let mut link = core.begin(None, BEGIN).await?;
    let row = one(link.ours(watch::WATCHING, &[&place.schema]).await?)?;
    link.roll_back().await;
    column(&row, 0)
}

/// The locks in the order of all: of numbering, of the service's row, of the lanes, which whoever appends holds, and of the gate, which
/// whoever stages shares.
async fn go_over(core: &Core) -> Result<(), StoreError> {
    let mut link = core.begin(None, BEGIN).await?;
    link.ours("SELECT divisi_numbers_alone()", &[]).await?;
    link.ours("SELECT staged FROM divisi_meta FOR UPDATE", &[]).await?;
    link.ours("SELECT 1 FROM divisi_lane ORDER BY topic, lane FOR NO KEY UPDATE", &[]).await?;
    let staged = core.isolation.is_strict();
    link.ours("UPDATE divisi_gate SET staged = $1", &[&staged]).await?;
    while !some(&mut link).await?.is_empty() {}
    link.ours("UPDATE divisi_meta SET staged = $1", &[&staged]).await?;
    match link.commit(async |_| Ok(())).await {
        Ending::Committed(()) => Ok(()),
        Ending::Undone(error) | Ending::Unknown(error) => Err(error),
    }
}

async fn some(link: &mut Link) -> Result<Vec<Row>, StoreError> {
    link.ours(NUMBER, &[&AT_ONCE, &BYTES_AT_ONCE]).await
}

fn record(source: &ServiceName, row: &Row) -> Result<Record, StoreError> {
    let text = |n: usize| row.try_get::<_, &str>(n).map_err(store_error);
    let number = |n: usize| row.try_get::<_, i64>(n).map_err(store_error);
    let small = |n: usize| {
        let found: i32 = row.try_get(n).map_err(store_error)?;
        u32::try_from(found)
            .map_err(|_| StoreError::new(StoreErrorKind::Corrupt, format!("{found} where a count stands")))
    };
    Ok(Record {
        source: source.clone(),
        topic: text(0)?.into(),
        lane: Lane(u16::try_from(small(1)?).unwrap_or(u16::MAX)),
        pos: Pos(number(2)?),
        epoch: Epoch(number(3)?),
        kind: text(4)?.into(),
        schema_v: small(5)?,
        key: text(6)?.into(),
        headers: text(7)?.into(),
        payload: row.try_get::<_, &[u8]>(8).map_err(store_error)?.to_vec().into(),
        at: Timestamp(number(9)?),
    })
}
