//! Which version of a projection readers see, and which is being built: rows in the service's own store.

use crate::error::StoreError;
use crate::params;
use crate::record::Timestamp;
use crate::transaction::{Read, Tx};

/// How long a version that was replaced is kept for the way back, in microseconds.
pub const PREVIOUS_KEPT_MICROS: i64 = 3_600 * 1_000_000;

/// Where a projection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectionRow {
    /// The version that readers see.
    pub active: u32,
    /// Its shape.
    pub shape: u32,
    /// The version that is to take its place, with its shape.
    pub building: Option<(u32, u32)>,
    /// The version that it took the place of, kept until then.
    pub previous: Option<(u32, Timestamp)>,
    /// Whether the version that is being built is about to take over: the active one stands still.
    pub flipping: bool,
}

const READ: &str = "SELECT active, shape, building, building_shape, previous, previous_until, state \
                    FROM divisi_projection WHERE name = $1";
const CREATE: &str =
    "INSERT INTO divisi_projection (name, active, shape) VALUES ($1, 1, $2) ON CONFLICT DO NOTHING";
const BUILD: &str =
    "UPDATE divisi_projection SET building = $2, building_shape = $3, state = 'building' WHERE name = $1";
const STATE: &str = "UPDATE divisi_projection SET state = $2 WHERE name = $1 AND building = $3";
const HOLD: &str = "UPDATE divisi_projection SET name = name WHERE name = $1";
const FLIP: &str = "UPDATE divisi_projection SET previous = active, previous_until = $2, active = building, \
                    shape = building_shape, building = NULL, building_shape = NULL, state = 'live' \
                    WHERE name = $1 AND building = $3";
const FORGET: &str = "UPDATE divisi_projection SET previous = NULL, previous_until = NULL WHERE name = $1";

/// Every statement of this family, for the registry that prepares them on each dialect.
pub const STATEMENTS: [&str; 7] = [READ, CREATE, BUILD, STATE, HOLD, FLIP, FORGET];

/// The row, if the projection has been there before.
pub async fn read(read: &mut Read, name: &str) -> Result<Option<ProjectionRow>, StoreError> {
    type Columns = (u32, u32, Option<u32>, Option<u32>, Option<u32>, Option<Timestamp>, String);
    let row: Option<Columns> = read.query_opt(READ, params![name]).await?;
    Ok(row.map(|(active, shape, building, building_shape, previous, until, state)| ProjectionRow {
        active,
        shape,
        building: building.zip(building_shape),
        previous: previous.zip(until),
        flipping: state == "flipping",
    }))
}

/// The row; a projection that was never there begins with version 1, of `shape`.
pub async fn read_or_create(tx: &mut Tx, name: &str, shape: u32) -> Result<ProjectionRow, StoreError> {
    tx.execute(CREATE, params![name, shape]).await?;
    read_again(tx, name).await
}

/// The row of a projection that has been there.
pub async fn read_again(tx: &mut Tx, name: &str) -> Result<ProjectionRow, StoreError> {
    read(tx, name).await?.ok_or_else(|| {
        StoreError::new(crate::StoreErrorKind::Other, format!("the row of projection `{name}` vanished"))
    })
}

/// Version `version`, of `shape`, is being built.
pub async fn build(tx: &mut Tx, name: &str, version: u32, shape: u32) -> Result<(), StoreError> {
    tx.send(BUILD, params![name, version, shape]).await
}

/// The row, locked until the transaction ends: no other instance decides about versions meanwhile.
pub async fn hold(tx: &mut Tx, name: &str) -> Result<ProjectionRow, StoreError> {
    tx.execute(HOLD, params![name]).await?;
    read_again(tx, name).await
}

/// The version that is being built is about to take the place of the active one, or is not after all. Nothing where it is not being built
/// any more.
pub async fn flipping(tx: &mut Tx, name: &str, version: u32, flipping: bool) -> Result<(), StoreError> {
    let state = if flipping { "flipping" } else { "building" };
    tx.send(STATE, params![name, state, version]).await
}

/// The version that was being built is the active one now; the one before is kept for a while. Nothing where it is not being built any
/// more.
pub async fn flip(tx: &mut Tx, name: &str, version: u32) -> Result<(), StoreError> {
    let until = Timestamp(tx.now().0.saturating_add(PREVIOUS_KEPT_MICROS));
    tx.send(FLIP, params![name, until, version]).await
}

/// The version before is gone.
pub async fn forget_previous(tx: &mut Tx, name: &str) -> Result<(), StoreError> {
    tx.send(FORGET, params![name]).await
}
