//! Ids minted elsewhere: idempotency keys with their answers.

use bytes::Bytes;
use divisi_contract::Keyed;

use crate::error::StoreError;
use crate::params;
use crate::transaction::{Read, Tx};

/// How long an answer is kept under its key.
pub const KEPT_MICROS: i64 = 7 * 24 * 3_600 * 1_000_000;

/// What was found under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Nothing: it is this transaction's now.
    New,
    /// The answer that was given.
    Kept(Bytes),
    /// An answer to other arguments.
    OtherArguments,
}

/// Takes the key for this transaction, waiting for a twin that holds it, or brings what was kept.
pub async fn claim(tx: &mut Tx, keyed: &Keyed) -> Result<Claim, StoreError> {
    let now = tx.now();
    let sql = "INSERT INTO divisi_seen (scope, id, fingerprint, seen_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    let inserted = tx.execute(sql, params![keyed.scope, keyed.key, &keyed.fingerprint[..], now]).await?;
    if inserted == 1 {
        return Ok(Claim::New);
    }
    Ok(look(tx, keyed).await?.unwrap_or(Claim::New))
}

/// Keeps the answer of this transaction.
pub async fn keep(tx: &mut Tx, keyed: &Keyed, answer: &Bytes) -> Result<(), StoreError> {
    let sql = "UPDATE divisi_seen SET result = $3 WHERE scope = $1 AND id = $2";
    tx.send(sql, params![keyed.scope, keyed.key, answer]).await
}

/// What is kept under the key.
pub async fn look(read: &mut Read, keyed: &Keyed) -> Result<Option<Claim>, StoreError> {
    let sql = "SELECT fingerprint, result FROM divisi_seen WHERE scope = $1 AND id = $2";
    let row: Option<(Option<Vec<u8>>, Option<Bytes>)> =
        read.query_opt(sql, params![keyed.scope, keyed.key]).await?;
    Ok(row.map(|(fingerprint, result)| match (fingerprint, result) {
        (Some(known), _) if known != keyed.fingerprint => Claim::OtherArguments,
        (_, Some(answer)) => Claim::Kept(answer),
        (_, None) => Claim::New,
    }))
}

/// Forgets at most `most` answers that were given before `now - KEPT_MICROS`; how many it forgot.
pub async fn expire(tx: &mut Tx, most: i64) -> Result<u64, StoreError> {
    let before = tx.now().0 - KEPT_MICROS;
    let sql = "DELETE FROM divisi_seen WHERE (scope, id) IN (SELECT scope, id FROM divisi_seen WHERE seen_at < $1 LIMIT $2)";
    tx.execute(sql, params![before, most]).await
}
