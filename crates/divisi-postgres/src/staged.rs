//! The staged outbox: events of a service whose transactions are stricter than READ COMMITTED get their numbers behind COMMIT.
//!
//! Whoever comes first numbers them: this process right after its own, another one when it finds some. A number is drawn
//! behind the locks of all lanes of staged topics, so one numbers at a time and who comes second finds nothing left.

use std::sync::Arc;
use std::time::Duration;

use divisi_contract::ServiceName;
use divisi_store::{Class, Epoch, Lane, OpenError, Pos, Record, StoreError, StoreErrorKind, Timestamp};
use tokio::time::{sleep, timeout};
use tokio_postgres::Row;

use crate::core::Core;
use crate::epochs::{BEGIN, Reason, column, one};
use crate::error::{OTHER_LIFE, code, open_error, store_error};
use crate::link::{Ending, Link};
use crate::place::{Place, refused};

/// How many events get their numbers in one transaction at the most: their lanes are locked so long.
const AT_ONCE: i32 = 500;
/// How often a process looks for what another one has put down and not numbered: it may have died in between.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long after a failure the next try comes.
const PAUSE: Duration = Duration::from_millis(100);

const NUMBER: &str =
    "SELECT topic, lane, pos, epoch, type, schema_v, key, headers, payload, at FROM divisi_number_staged($1)";

/// Gives numbers until it is aborted; its owner is the store.
pub(crate) async fn keep_numbering(core: Arc<Core>) {
    loop {
        match number(&core).await {
            Ok(n) if n >= AT_ONCE as usize => {}
            // A wake-up that comes before is kept.
            Ok(_) => drop(timeout(LOOK_EVERY, core.staged.notified()).await),
            Err(error) => {
                tracing::debug!(service.name = %core.source, error = %error, "staged events are not numbered yet");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Numbers what is there, at most [`AT_ONCE`]; how many.
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
    let mut link = core.begin(Some(Class::Consumer), BEGIN).await?;
    let rows = match link.ours(NUMBER, &[&AT_ONCE]).await {
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

/// Makes this store's topics direct or staged, as its service's isolation wants it. What is still staged gets its numbers first; while
/// another process has the database open otherwise, it is refused: a key's events would overtake each other.
pub(crate) async fn settle(core: &Core, place: &Place) -> Result<(), OpenError> {
    let failed = |error| open_error(&place.what, error);
    let staged = core.isolation.is_strict();
    let topics = core.topics.clone();
    let mut link = core.begin(Some(Class::Call), BEGIN).await.map_err(failed)?;
    let sql =
        "SELECT topic FROM divisi_topic WHERE topic = ANY($1) AND staged <> $2 ORDER BY topic FOR UPDATE";
    let other = link.ours(sql, &[&topics, &staged]).await.map_err(failed)?;
    if other.is_empty() {
        link.roll_back().await;
        return Ok(());
    }
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
               AND starts_with(application_name, 'divisi watch ') AND substr(application_name, 31) = $1";
    let watching = one(link.ours(sql, &[&place.schema]).await.map_err(failed)?).map_err(failed)?;
    if column::<i64>(&watching, 0).map_err(failed)? > 0 {
        link.roll_back().await;
        return Err(refused(
            &place.what,
            "another process of the service has it open with another `isolation`; end all of them before it changes between `read committed` and a stricter one",
        ));
    }
    drain(&mut link).await.map_err(failed)?;
    let sql = "UPDATE divisi_topic SET staged = $2 WHERE topic = ANY($1)";
    link.ours(sql, &[&topics, &staged]).await.map_err(failed)?;
    match link.commit(async |_| Ok(())).await {
        Ending::Committed(()) => Ok(()),
        Ending::Undone(error) | Ending::Unknown(error) => Err(failed(error)),
    }
}

async fn drain(link: &mut Link) -> Result<(), StoreError> {
    while !link.ours(NUMBER, &[&AT_ONCE]).await?.is_empty() {}
    Ok(())
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
