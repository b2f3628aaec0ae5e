//! Leases: which of several instances of a service does a piece of work now. PostgreSQL alone has the table: where one
//! process owns the database, every lease is granted.
//!
//! A lease saves work and nothing else. Whoever was stopped for longer than its time and goes on may believe that it
//! still holds it; what makes that harmless is the watermark, and the token where one is compared.
//!
//! Time is the database's, so the clocks of instances do not matter. A token is given with each change of the holder, and
//! is higher than all before it.

use std::time::Duration;

use crate::error::StoreError;
use crate::params;
use crate::transaction::{Read, Tx};

/// How long a lease lasts without being renewed; who holds it renews it in a third of that.
pub const TTL: Duration = Duration::from_secs(10);
/// Who has renewed within this time is not called gone, whatever the server lists: its session may have to be made anew.
pub const RENEWED_WITHIN: Duration = Duration::from_secs(4);

const TAKE: &str = "INSERT INTO divisi_lease AS l (name, owner, token, expires_at) VALUES ($1, $2, 1, divisi_now() + $3) \
     ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, expires_at = excluded.expires_at, \
     token = CASE WHEN l.owner = excluded.owner AND l.expires_at > divisi_now() THEN l.token ELSE l.token + 1 END \
     WHERE l.owner = excluded.owner OR l.expires_at <= divisi_now() RETURNING token";
/// Whether the server lists the session of the owner of `l`. Sessions of other roles may hide who they are: while one does, nobody is
/// called gone.
macro_rules! session_is_there {
    () => {
        "EXISTS (SELECT 1 FROM pg_stat_activity a WHERE a.datname = current_database() \
         AND (a.application_name IS NULL OR starts_with(a.application_name, 'divisi watch ' || substr(l.owner, 9))))"
    };
}

/// What has not been renewed in time, by a session that is not there any more.
const TAKE_FROM_GONE: &str = concat!(
    "UPDATE divisi_lease AS l SET owner = $2, expires_at = divisi_now() + $3, token = l.token + 1 WHERE l.name = $1 \
     AND starts_with(l.owner, 'session ') AND l.owner <> $2 AND l.expires_at <= divisi_now() + $3 - $4 AND NOT ",
    session_is_there!(),
    " RETURNING token"
);
const HOLDS: &str = "SELECT count(*) FROM divisi_lease WHERE name = $1 AND owner = $2 AND token = $3 AND expires_at > divisi_now()";
/// Waits for a grant that is about to be committed.
const LOCK: &str = "SELECT 1 FROM divisi_lease WHERE name = $1 FOR UPDATE";
/// The row stays: its token must not begin anew.
const RELEASE: &str =
    "UPDATE divisi_lease SET expires_at = 0 WHERE name = $1 AND owner = $2 AND expires_at > divisi_now()";
/// Without what [`TAKE_FROM_GONE`] would take. Who has renewed in time is not looked for among the sessions.
const HELD: &str = concat!(
    "SELECT l.name, l.owner FROM divisi_lease AS l WHERE starts_with(l.name, $1) AND l.expires_at > divisi_now() \
     AND (NOT starts_with(l.owner, 'session ') OR l.expires_at > divisi_now() + $2 - $3 OR ",
    session_is_there!(),
    ") ORDER BY l.name"
);
/// When the server was started, or took over.
macro_rules! starts {
    () => {
        "(SELECT greatest((extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint, (SELECT max(began_at) FROM divisi_epoch)) \
         AS started) AS server"
    };
}

/// With what a session that is not listed any more holds, and what was not given back before the server was started a while ago: it may have
/// run out while nobody could renew it.
const HELD_STILL: &str = concat!(
    "SELECT l.owner FROM divisi_lease AS l, ",
    starts!(),
    " WHERE starts_with(l.name, $1) AND l.expires_at > 0 AND (l.expires_at > divisi_now() OR started + 2 * $2::bigint > divisi_now()) \
     ORDER BY l.owner"
);
/// Nobody waits for a row that somebody else has locked.
const FORGET: &str = concat!(
    "DELETE FROM divisi_lease WHERE name IN (SELECT name FROM divisi_lease AS l, ",
    starts!(),
    " WHERE starts_with(l.name, $1) AND l.expires_at <= divisi_now() AND (l.expires_at = 0 OR started + 2 * $2::bigint <= divisi_now()) \
     FOR UPDATE OF l SKIP LOCKED)"
);

/// Every statement of this family; only PostgreSQL has its table.
pub const STATEMENTS: [&str; 8] = [TAKE, TAKE_FROM_GONE, HOLDS, LOCK, RELEASE, HELD, HELD_STILL, FORGET];

/// The owner of leases whose process has a session named `divisi watch <session>`: they are free when that session has ended and none was
/// renewed for [`RENEWED_WITHIN`], before their time.
pub fn owner_by_session(session: &str) -> String {
    format!("session {session}")
}

/// Takes a lease, or renews it; its token, or `None` while somebody else holds it. `owner` is made anew by each process
/// at its start, never the name of its machine.
pub async fn take(tx: &mut Tx, name: &str, owner: &str, ttl: Duration) -> Result<Option<u64>, StoreError> {
    let micros = micros(ttl);
    let mut row: Option<(i64,)> = tx.query_opt(TAKE, params![name, owner, micros]).await?;
    if row.is_none() {
        row =
            tx.query_opt(TAKE_FROM_GONE, params![name, owner, micros, self::micros(RENEWED_WITHIN)]).await?;
    }
    Ok(row.map(|(token,)| token.unsigned_abs()))
}

/// Whether a lease is still held under this token.
pub async fn holds(read: &mut Read, name: &str, owner: &str, token: u64) -> Result<bool, StoreError> {
    let token = i64::try_from(token).unwrap_or(i64::MAX);
    let (n,): (i64,) = read.query_one(HOLDS, params![name, owner, token]).await?;
    Ok(n > 0)
}

/// Gives a lease back before its time, so that another instance need not wait; whether it was held.
pub async fn release(tx: &mut Tx, name: &str, owner: &str) -> Result<bool, StoreError> {
    let _: Vec<(i64,)> = tx.query(LOCK, params![name]).await?;
    tx.execute(RELEASE, params![name, owner]).await.map(|n| n > 0)
}

/// Who holds the leases of `ttl` whose names begin with `prefix`: name and owner, in order of names. An owner that is gone holds none.
pub async fn held(read: &mut Read, prefix: &str, ttl: Duration) -> Result<Vec<(String, String)>, StoreError> {
    read.query(HELD, params![prefix, micros(ttl), micros(RENEWED_WITHIN)]).await
}

/// Whether anybody but `owner` holds one of those leases.
pub async fn is_held_by_others(
    read: &mut Read,
    prefix: &str,
    ttl: Duration,
    owner: &str,
) -> Result<bool, StoreError> {
    Ok(held(read, prefix, ttl).await?.iter().any(|(_, holder)| holder != owner))
}

/// Whether anybody but `owner` may hold one of those leases: before something is removed that its holder needs. It is not enough that a
/// holder's session is gone, since it may be made anew, nor that a lease ran out while the server did not run.
pub async fn may_be_held_by_others(
    read: &mut Read,
    prefix: &str,
    ttl: Duration,
    owner: &str,
) -> Result<bool, StoreError> {
    let holders: Vec<(String,)> = read.query(HELD_STILL, params![prefix, micros(ttl)]).await?;
    Ok(holders.iter().any(|(holder,)| holder != owner))
}

/// Removes the leases whose names begin with `prefix` and whose time is over. Their tokens begin anew: it is for names whose tokens
/// nobody compares.
pub async fn forget(tx: &mut Tx, prefix: &str) -> Result<u64, StoreError> {
    tx.execute(FORGET, params![prefix, micros(TTL)]).await
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX / 2)
}
