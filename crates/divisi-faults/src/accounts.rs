//! Accounts: versioned rows, changed several at a time.

use divisi::{Answer, Context, Migration, Service, Store, refuse};

use divisi::params;

use crate::promises::{Accounts, AccountsClient, BalanceChanged, Entry, Opening, Transfer, TransferRefused};

/// The accounts service.
pub(crate) fn service() -> Service {
    Service::new("accounts")
        .migrations([Migration::new(1, "accounts", include_str!("../migrations/accounts.sql"))])
        .emits::<BalanceChanged>()
        .serves::<AccountsClient, _>(|parts| AccountsService { store: parts.store() })
}

struct AccountsService {
    store: Store,
}

impl Accounts for AccountsService {
    async fn open(&self, cx: &Context, opening: Opening) -> Answer<Vec<Entry>> {
        self.store
            .transact(cx, async |tx| {
                let mut entries = Vec::new();
                for account in 0..opening.accounts {
                    let entry = Entry { account, version: 1, balance: opening.balance };
                    let sql = "INSERT INTO accounts (id, version, balance) VALUES ($1, $2, $3)";
                    tx.send(sql, params![account, entry.version, entry.balance]).await?;
                    tx.emit(changed(&entry, "opening", opening.balance));
                    entries.push(entry);
                }
                Ok(entries)
            })
            .await
    }

    async fn transfer(&self, cx: &Context, transfer: Transfer) -> Answer<Vec<Entry>, TransferRefused> {
        let mut legs = transfer.legs;
        // Whoever changes several rows does so in one order: no deadlocks.
        legs.sort_by_key(|leg| leg.account);
        self.store
            .transact(cx, async |tx| {
                let mut entries = Vec::new();
                for leg in &legs {
                    let account = leg.account;
                    let sql = "UPDATE accounts SET version = version + 1, balance = balance + $2 WHERE id = $1 \
                               RETURNING version, balance";
                    let row: Option<(i64, i64)> = tx.query_opt(sql, params![account, leg.amount]).await?;
                    let Some((version, balance)) = row else {
                        return refuse(TransferRefused::NoSuchAccount { account });
                    };
                    let entry = Entry { account, version, balance };
                    tx.emit(changed(&entry, &transfer.id, leg.amount));
                    if balance < 0 {
                        return refuse(TransferRefused::Overdrawn { account });
                    }
                    entries.push(entry);
                }
                if transfer.called_off {
                    return refuse(TransferRefused::CalledOff);
                }
                Ok(entries)
            })
            .await
    }
}

fn changed(entry: &Entry, transfer: &str, amount: i64) -> BalanceChanged {
    let Entry { account, version, balance } = *entry;
    BalanceChanged { account, version, transfer: transfer.to_owned(), amount, balance }
}
