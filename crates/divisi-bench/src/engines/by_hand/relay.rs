//! A relay by hand: reads the table in the order of its ids, publishes, and keeps how far it is.
//!
//! As ours it keeps how far it is every few seconds, and a broker that can drops what comes twice. The next page is read while the last one
//! is published.

use std::sync::Arc;
use std::time::Instant;

use divisi::events::fetch::RECORDS_MAX;
use divisi::events::relay::RENEW_EVERY;
use tokio_postgres::{Client, Statement};

use super::broker::Outgoing;
use super::{Spread, Way, connect};

pub(super) struct Relay {
    client: Client,
    page: Statement,
    keep: Statement,
    spread: Arc<Spread>,
}

impl Relay {
    /// One that begins at the start; the table is there.
    pub(super) async fn open(url: &str, spread: Arc<Spread>) -> anyhow::Result<Relay> {
        let client = connect(url).await?;
        client.batch_execute("CREATE TABLE relay (at BIGINT NOT NULL); INSERT INTO relay VALUES (0)").await?;
        let page = format!(
            "SELECT id, worker, key, payload FROM outbox WHERE id > $1 ORDER BY id LIMIT {RECORDS_MAX}"
        );
        let page = client.prepare(&page).await?;
        let keep = client.prepare("UPDATE relay SET at = $1").await?;
        Ok(Relay { client, page, keep, spread })
    }

    /// Publishes for ever.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Way::Relayed(broker, waiting) = &self.spread.way else { return Ok(()) };
        let (mut at, mut kept) = (0, Instant::now());
        let mut page = self.after(at).await?;
        loop {
            let Some(last) = page.last().and_then(|last| last.id) else {
                waiting.notified().await;
                page = self.after(at).await?;
                continue;
            };
            at = last;
            let (next, ()) = tokio::try_join!(self.after(at), broker.publish(page))?;
            page = next;
            if kept.elapsed() >= RENEW_EVERY {
                self.client.execute(&self.keep, &[&at]).await?;
                kept = Instant::now();
            }
        }
    }

    /// What comes next.
    async fn after(&self, at: i64) -> anyhow::Result<Vec<Outgoing>> {
        let rows = self.client.query(&self.page, &[&at]).await?;
        let outgoing = rows.iter().map(|row| {
            let (id, worker, key, payload) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            Ok(Outgoing { id: Some(id), worker, key, payload })
        });
        outgoing.collect()
    }
}
