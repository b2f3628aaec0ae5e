//! The ledger: one row an effect, without any constraint that could hide a second one, and the news of it.

use divisi::{Failure, Migration, Service, Tx, params};

use crate::promises::{BalanceChanged, Booked};

/// The ledger service. Nobody calls it.
pub(crate) fn service() -> Service {
    let ledger = Migration::new(1, "ledger", include_str!("../migrations/ledger.sql"))
        .postgres(include_str!("../migrations/ledger.postgres.sql"));
    Service::new("ledger").migrations([ledger]).emits::<Booked>().on(book)
}

async fn book(tx: &mut Tx, event: &BalanceChanged) -> Result<(), Failure> {
    let at = tx.now().0;
    let sql = "INSERT INTO effects (account, version, transfer, amount, balance, at) VALUES ($1, $2, $3, $4, $5, $6)";
    let BalanceChanged { account, version, transfer, amount, balance } = event;
    tx.send(sql, params![account, version, transfer, amount, balance, at]).await?;
    // As the event says, whatever was there: a change that comes late or twice would stay.
    let sql = "INSERT INTO balances (account, version, balance) VALUES ($1, $2, $3) \
               ON CONFLICT (account) DO UPDATE SET version = excluded.version, balance = excluded.balance";
    tx.send(sql, params![account, version, balance]).await?;
    tx.emit(Booked { account: *account, version: *version, transfer: transfer.clone() });
    Ok(())
}
