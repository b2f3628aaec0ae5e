//! What other processes write to the same log.
//!
//! One connection a store, beside the pool, asks where the lanes end: every 5 ms while others write, less and less often
//! up to every 250 ms while they do not. A notification hurries it; it is sent outside of transactions, since inside one
//! it would make all commits wait for each other, at most every 2 ms, and only while somebody else is connected.
//! Notifications may be lost: nothing but the pace depends on them.
//!
//! The session also shows that this process is there, which frees its leases when it is not (`divisi_store::lease`). A store without
//! topics has no log to look at, and keeps it for that alone.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use divisi_contract::event::LANES;
use divisi_store::{Epoch, Lane, Pos, StoreError};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_postgres::tls::TlsStream;
use tokio_postgres::{AsyncMessage, Client, Connection, Error, Socket, Statement};

use crate::connect::{Connector, Wire};
use crate::core::Core;
use crate::epochs::{column, one};
use crate::error::store_error;
use crate::page::{HEADS, end};

/// The shortest and the longest time between two looks.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));
/// The shortest time between two notifications of this store.
const NOTIFY_EVERY: Duration = Duration::from_millis(2);
/// How often a session that only has to be there says something: a wire that is dead without a word is noticed.
const STAY_EVERY: Duration = Duration::from_secs(5);
/// How often it is asked who else is there.
const OTHERS_EVERY: Duration = Duration::from_secs(1);
/// How long a look, or connecting, may take; then the connection counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long after a lost connection the next one is tried.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

const CHANNEL: &str = "divisi_log";
const EPOCH: &str = "SELECT epoch FROM divisi_meta";
/// Other sessions that watch this schema, by the name that they give themselves: `divisi watch`, sixteen digits, the schema. The version
/// before had no digits.
const OTHERS: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                      AND starts_with(application_name, 'divisi watch ') AND pid <> pg_backend_pid() \
                      AND substr(current_setting('application_name'), 31) IN (substr(application_name, 31), substr(application_name, 14))";
/// The sessions that watch a schema, for who does not; the server cuts names behind 63 bytes. One that has asked nothing for five seconds, and
/// who has a log asks four times a second, is of a machine that is gone.
pub(crate) const WATCHING: &str = "SELECT string_agg(pid || coalesce(' at ' || host(client_addr), ''), ', ') FROM pg_stat_activity \
                                   WHERE datname = current_database() AND state_change > clock_timestamp() - interval '5 s' \
                                   AND starts_with(application_name, 'divisi watch ') AND substr(application_name, 31) = left($1, 33)";
/// The work of this session is nothing that must be on disk.
const SETTINGS: &str = "SET synchronous_commit TO off; SET statement_timeout TO '10s'";

/// Watches until it is aborted; its owner is the store.
pub(crate) async fn watch(core: Arc<Core>, connector: Connector) {
    let mut pause = RECONNECT.0;
    loop {
        let began = Instant::now();
        let Err(error) = watch_once(&core, &connector).await;
        // What others wrote meanwhile, and whether the server is the same one, nobody told us.
        core.forget();
        tracing::debug!(service.name = %core.source, error = %error, "the session that watches has lost its connection");
        pause = if began.elapsed() > PATIENCE { RECONNECT.0 } else { (pause * 2).min(RECONNECT.1) };
        sleep(pause).await;
    }
}

async fn watch_once(core: &Core, connector: &Connector) -> Result<std::convert::Infallible, StoreError> {
    let (me, mut config) = (&*core.me, connector.config.clone());
    config.application_name(format!("divisi watch {me} {}", connector.schema));
    let connecting = timeout(PATIENCE, connector.connect_bare(&config)).await;
    let (client, wire) = connecting.map_err(|_| silent())?.map_err(store_error)?;
    let hurry = Notify::new();
    let driven = async {
        match wire {
            Wire::Plain(wire) => drive(*wire, &hurry, me).await,
            Wire::Tls(wire) => drive(*wire, &hurry, me).await,
        }
    };
    let watched = async {
        connector.set(&client).await.map_err(store_error)?;
        client.batch_execute(SETTINGS).await.map_err(store_error)?;
        if core.topics.is_empty() {
            return stay(&client).await;
        }
        client.batch_execute(&format!("LISTEN {CHANNEL}")).await.map_err(store_error)?;
        Watch::new(core, &client, &hurry, me).await?.run().await
    };
    tokio::select! {
        ended = driven => Err(ended.err().map_or_else(silent, store_error)),
        ended = watched => ended,
    }
}

/// Drives the connection; a notification of somebody else hurries the next look.
async fn drive<T>(mut wire: Connection<Socket, T>, hurry: &Notify, me: &str) -> Result<(), Error>
where
    T: TlsStream + tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(message) = poll_fn(|task| wire.poll_message(task)).await {
        match message? {
            AsyncMessage::Notification(told) if told.payload() != me => hurry.notify_one(),
            _ => {}
        }
    }
    Ok(())
}

/// Is there, and no more.
async fn stay(client: &Client) -> Result<std::convert::Infallible, StoreError> {
    loop {
        sleep(STAY_EVERY).await;
        timeout(PATIENCE, client.batch_execute("")).await.map_err(|_| silent())?.map_err(store_error)?;
    }
}

struct Watch<'a> {
    core: &'a Core,
    client: &'a Client,
    hurry: &'a Notify,
    me: &'a str,
    epoch: Statement,
    heads: Statement,
    lanes: Vec<i32>,
    /// What was seen last, by topic and lane.
    seen: Vec<Vec<Pos>>,
    others: bool,
}

impl<'a> Watch<'a> {
    async fn new(
        core: &'a Core,
        client: &'a Client,
        hurry: &'a Notify,
        me: &'a str,
    ) -> Result<Watch<'a>, StoreError> {
        Ok(Watch {
            core,
            client,
            hurry,
            me,
            epoch: client.prepare(EPOCH).await.map_err(store_error)?,
            heads: client.prepare(HEADS).await.map_err(store_error)?,
            lanes: (0..LANES).map(i32::from).collect(),
            seen: vec![vec![Pos(0); usize::from(LANES)]; core.topics.len()],
            others: true,
        })
    }

    async fn run(mut self) -> Result<std::convert::Infallible, StoreError> {
        let mut pause = LOOK_EVERY.0;
        let mut look_at = Instant::now();
        let mut count_at = Instant::now();
        let mut notify_at = Instant::now();
        let mut untold = false;
        loop {
            if Instant::now() >= count_at {
                self.others = self.count_others().await?;
                count_at = Instant::now() + OTHERS_EVERY;
            }
            if Instant::now() >= look_at {
                let grew = timeout(PATIENCE, self.look()).await.map_err(|_| silent())??;
                pause = if grew && self.others { LOOK_EVERY.0 } else { (pause * 2).min(LOOK_EVERY.1) };
                look_at = Instant::now() + pause;
            }
            tokio::select! {
                () = sleep_until(look_at.min(count_at)) => {}
                () = self.hurry.notified() => look_at = Instant::now(),
                () = self.core.appended.notified(), if self.others && !untold => untold = true,
                // What is appended meanwhile is told with it.
                () = sleep_until(notify_at), if untold => {
                    self.notify().await?;
                    untold = false;
                    notify_at = Instant::now() + NOTIFY_EVERY;
                }
            }
        }
    }

    /// Looks where the lanes end, and tells; whether one has grown since the last look.
    async fn look(&mut self) -> Result<bool, StoreError> {
        let life = self.core.forgets();
        let epoch = self.client.query(&self.epoch, &[]).await.map_err(store_error)?;
        self.core.enter(Epoch(column(&one(epoch)?, 0)?));
        let mut any = false;
        for (topic, seen) in self.core.topics.iter().zip(&mut self.seen) {
            let rows = self.client.query(&self.heads, &[topic, &self.lanes]).await.map_err(store_error)?;
            let mut grown: Vec<(Lane, Pos)> = Vec::new();
            for row in &rows {
                let (lane, head, _) = end(row)?;
                let Some(known) = seen.get_mut(usize::from(lane.0)) else { continue };
                if *known != head {
                    *known = head;
                    grown.push((lane, head));
                }
            }
            // An answer from before the tail forgot may be of another life.
            if !grown.is_empty() && self.core.forgets() == life {
                self.core.grew(topic, &grown);
            }
            any |= !grown.is_empty();
        }
        Ok(any)
    }

    async fn count_others(&self) -> Result<bool, StoreError> {
        let rows = self.client.query(OTHERS, &[]).await.map_err(store_error)?;
        Ok(column::<i64>(&one(rows)?, 0)? > 0)
    }

    async fn notify(&self) -> Result<(), StoreError> {
        let sql = "SELECT pg_notify($1, $2)";
        self.client.query(sql, &[&CHANNEL, &self.me]).await.map_err(store_error).map(drop)
    }
}

fn silent() -> StoreError {
    StoreError::new(divisi_store::StoreErrorKind::Busy, "the database does not answer")
}
