//! Forgets kept answers whose time is over, a little at a time.

use std::io;
use std::time::Duration;

use divisi_store::{Class, Store, StoreError, Tx, TxFailed, seen};
use tracing::{debug, warn};

use crate::task::Stopping;

/// How often a store is looked at.
const EVERY: Duration = Duration::from_secs(60);
/// How many answers one transaction forgets: few enough that no caller waits for it.
const ANSWERS_A_STEP: i64 = 200;

/// Tidies `store` until it is told to stop. A store that is busy is tried again at the next look.
pub(crate) async fn run(store: Store, stopping: Stopping) -> io::Result<()> {
    loop {
        tokio::select! {
            () = stopping.requested() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
        match forget_answers(&store).await {
            Ok(0) => {}
            Ok(n) => debug!(service.name = %store.service(), "forgot {n} answers that were kept long enough"),
            Err(error) => warn!(service.name = %store.service(), "cannot forget old answers yet: {error}"),
        }
    }
}

/// Forgets all that are old enough; how many.
async fn forget_answers(store: &Store) -> Result<u64, StoreError> {
    let mut forgotten = 0;
    loop {
        let step = store.run(Class::Upkeep, async |tx: &mut Tx| seen::expire(tx, ANSWERS_A_STEP).await).await;
        let (n, _) = step.map_err(TxFailed::into_error)?;
        forgotten += n;
        if n < ANSWERS_A_STEP.unsigned_abs() {
            return Ok(forgotten);
        }
    }
}
