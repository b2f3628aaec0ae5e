//! How far a relay is, kept in its source's database.

use divisi_store::mutation::{self, Mutation};
use divisi_store::{Class, Epoch, Lane, Pos, Read, StoreError, Tx, TxFailed, failpoint, params, reader};
use tokio::time::Instant;

use super::{Relay, RelayError};

/// Why the cursor was not kept.
enum Lost {
    Lease,
    Store(StoreError),
}

impl From<StoreError> for Lost {
    fn from(error: StoreError) -> Lost {
        Lost::Store(error)
    }
}

impl Relay {
    /// What was kept by this relay or one before it.
    pub(super) async fn stored(&self) -> Result<Vec<(Lane, Epoch, Pos)>, RelayError> {
        let sql = "SELECT lane, epoch, pos FROM divisi_reader WHERE reader = $1 AND topic = $2";
        self.store
            .read(async |read: &mut Read| read.query(sql, params![self.reader, self.topic]).await)
            .await
            .map_err(|source| self.cursor_error(source))
    }

    /// Keeps the cursor under the lease. It may go back.
    pub(super) async fn save(&mut self, token: u64) -> Result<(), RelayError> {
        self.saved_at = Instant::now();
        let moved = self.lanes.iter().filter(|cursor| cursor.saved != Some(cursor.pos));
        let moved: Vec<_> = moved.map(|cursor| (cursor.lane, self.epoch, cursor.pos)).collect();
        if moved.is_empty() {
            return Ok(());
        }
        let name = self.lease_name();
        let kept = self
            .store
            .run(Class::Upkeep, async |tx: &mut Tx| {
                let fenced = !mutation::made(Mutation::RelayIgnoresFence);
                if fenced && !self.lease.holds(tx, &name, token).await? {
                    return Err(Lost::Lease);
                }
                Ok(reader::tell(tx, &self.reader, &self.topic, &moved).await?)
            })
            .await;
        match kept {
            Ok(_) => {
                failpoint::hit("relay.kept");
                for cursor in &mut self.lanes {
                    cursor.saved = Some(cursor.pos);
                }
                Ok(())
            }
            Err(TxFailed::Body(Lost::Lease)) => Err(self.fenced()),
            Err(
                TxFailed::Body(Lost::Store(error))
                | TxFailed::DidNotHappen(error)
                | TxFailed::MayHaveHappened(error),
            ) => Err(self.cursor_error(error)),
        }
    }
}
