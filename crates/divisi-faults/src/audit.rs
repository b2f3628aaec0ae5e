//! The audit: counts what it hears of each change from two sides, in either order, and keeps balances for readers.

use divisi::{
    Answer, Context, Failure, Fold, Migration, Projection, ReadModel, Service, StoreError, Tx, params,
};

use crate::promises::{BalanceChanged, Balances, BalancesClient, Booked, Entry};

/// The audit service.
pub(crate) fn service() -> Service {
    Service::new("audit")
        .migrations([Migration::new(1, "audit", include_str!("../migrations/audit.sql"))])
        .on(changed)
        .on(booked)
        .projection(balances())
        .serves::<BalancesClient, _>(|parts| AuditService { balances: parts.read_model("balances") })
}

fn balances() -> Projection {
    Projection::new("balances", 1)
        .migrations([Migration::new(1, "balances", include_str!("../migrations/balances.sql"))])
        .on(fold)
}

struct AuditService {
    balances: ReadModel,
}

impl Balances for AuditService {
    async fn balances(&self, _: &Context) -> Answer<Vec<Entry>> {
        let rows: Result<Vec<(u32, i64, i64)>, StoreError> = self
            .balances
            .read(async |read| {
                read.query("SELECT account, version, balance FROM balances ORDER BY account", &[]).await
            })
            .await;
        let entry = |(account, version, balance)| Entry { account, version, balance };
        Ok(rows?.into_iter().map(entry).collect())
    }
}

async fn changed(tx: &mut Tx, event: &BalanceChanged) -> Result<(), Failure> {
    let sql = "INSERT INTO audited (account, version, n_changed, n_booked) VALUES ($1, $2, 1, 0) \
               ON CONFLICT (account, version) DO UPDATE SET n_changed = audited.n_changed + 1";
    tx.send(sql, params![event.account, event.version]).await?;
    Ok(())
}

async fn booked(tx: &mut Tx, event: &Booked) -> Result<(), Failure> {
    let sql = "INSERT INTO audited (account, version, n_changed, n_booked) VALUES ($1, $2, 0, 1) \
               ON CONFLICT (account, version) DO UPDATE SET n_booked = audited.n_booked + 1";
    tx.send(sql, params![event.account, event.version]).await?;
    Ok(())
}

async fn fold(fold: &mut Fold<'_>, event: &BalanceChanged) -> Result<(), Failure> {
    let sql = "INSERT INTO balances (account, version, balance) VALUES ($1, $2, $3) \
               ON CONFLICT (account) DO UPDATE SET version = excluded.version, balance = excluded.balance";
    fold.send(sql, params![event.account, event.version, event.balance]).await?;
    Ok(())
}
