//! What the stores and logs of a bank hold, read behind its back.

use std::collections::BTreeMap;
use std::time::Duration;

use divisi_testkit::eventually;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::bank::Bank;
use crate::book::Entry;
use crate::servers::wait;

/// I7: how long readers may lag once everything runs again.
const SETTLES_WITHIN: Duration = Duration::from_secs(30);

/// Everything that a bank holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Truth {
    pub(crate) accounts: Vec<Entry>,
    /// The log of accounts, lane by lane.
    pub(crate) changes: Vec<Change>,
    /// The ledger's effects, in their order.
    pub(crate) effects: Vec<Effect>,
    pub(crate) ledger: Vec<Entry>,
    /// The log of the ledger, lane by lane.
    pub(crate) bookings: Vec<At>,
    /// Of each change: how often it was heard of from accounts, and how often from the ledger.
    pub(crate) audited: Vec<(i64, i64, i64, i64)>,
    pub(crate) read_model: Vec<Entry>,
    /// Keys and events that wait or are dead.
    pub(crate) parked: Vec<String>,
}

/// An event of accounts.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) at: At,
    pub(crate) transfer: String,
    pub(crate) amount: i64,
    pub(crate) balance: i64,
    /// When it was appended, in microseconds.
    pub(crate) time: i64,
}

/// Which change of which account, and where in a log it is told of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    pub(crate) lane: i64,
    pub(crate) pos: i64,
    pub(crate) account: i64,
    pub(crate) version: i64,
}

/// What one event did to the ledger.
#[derive(Debug, Clone)]
pub(crate) struct Effect {
    pub(crate) entry: Entry,
    pub(crate) transfer: String,
    pub(crate) amount: i64,
    /// When, in microseconds.
    pub(crate) time: i64,
}

/// Waits until every reader has taken in what there is, and nothing is parked.
pub(crate) fn settles(bank: &Bank) {
    let behind = || {
        let mut behind = Vec::new();
        let accounts = heads(bank, "accounts", "accounts");
        let mut look = |service, projection, consumer: &str, topic: &str, heads: &BTreeMap<i64, i64>| {
            let sql = format!(
                "SELECT lane, pos FROM divisi_watermark WHERE consumer = '{consumer}' AND topic = '{topic}' AND pos > 0"
            );
            let marks: BTreeMap<i64, i64> = pairs(&rows(bank, service, projection, &sql)).collect();
            let missing: i64 = heads.iter().map(|(lane, head)| head - marks.get(lane).unwrap_or(&0)).sum();
            if missing != 0 || marks.len() != heads.len() {
                behind.push(format!("{consumer} lacks {missing} of {topic}"));
            }
        };
        look("ledger", false, "ledger", "accounts", &accounts);
        look("audit", false, "audit", "accounts", &accounts);
        look("audit", true, "audit.balances", "accounts", &accounts);
        let bookings = heads(bank, "ledger", "bookings");
        look("audit", false, "audit", "bookings", &bookings);
        behind.extend(parked(bank));
        behind
    };
    eventually("readers have what there is", SETTLES_WITHIN, behind, Vec::is_empty);
}

/// The end of each lane of a topic.
pub(crate) fn heads(bank: &Bank, service: &str, topic: &str) -> BTreeMap<i64, i64> {
    let sql = format!("SELECT lane, max(pos) FROM divisi_outbox WHERE topic = '{topic}' GROUP BY lane");
    pairs(&rows(bank, service, false, &sql)).collect()
}

/// Which version of the read model readers see.
pub(crate) fn active(bank: &Bank) -> i64 {
    let row = rows(bank, "audit", false, "SELECT active FROM divisi_projection WHERE name = 'balances'");
    row.first().map_or(1, |row| number(&row[0]))
}

/// Reads everything.
pub(crate) fn read(bank: &Bank) -> Truth {
    let log = |service: &str, topic: &str| {
        let payload = match bank.is_on_postgres(service) {
            true => "convert_from(payload, 'UTF8')",
            false => "CAST(payload AS TEXT)",
        };
        let sql = format!(
            "SELECT lane, pos, at, {payload} FROM divisi_outbox WHERE topic = '{topic}' ORDER BY lane, pos"
        );
        rows(bank, service, false, &sql).into_iter().map(|row| {
            let event: Value =
                serde_json::from_str(&row[3]).unwrap_or_else(|error| panic!("{error}: {row:?}"));
            let at = At {
                lane: number(&row[0]),
                pos: number(&row[1]),
                account: event["account"].as_i64().expect("an account"),
                version: event["version"].as_i64().expect("a version"),
            };
            (at, number(&row[2]), event)
        })
    };
    let changes = log("accounts", "accounts").map(|(at, time, event)| Change {
        at,
        transfer: event["transfer"].as_str().expect("a transfer").to_owned(),
        amount: event["amount"].as_i64().expect("an amount"),
        balance: event["balance"].as_i64().expect("a balance"),
        time,
    });
    let changes = changes.collect();
    let effects = "SELECT account, version, balance, transfer, amount, at FROM effects ORDER BY n";
    let effect = |row: Vec<String>| Effect {
        entry: entry(&row),
        transfer: row[3].clone(),
        amount: number(&row[4]),
        time: number(&row[5]),
    };
    let entries = |service, projection, sql| -> Vec<Entry> {
        rows(bank, service, projection, sql).iter().map(|row| entry(row)).collect()
    };
    let balances = "SELECT account, version, balance FROM balances ORDER BY account";
    let audited = "SELECT account, version, n_changed, n_booked FROM audited ORDER BY account, version";
    let audited = rows(bank, "audit", false, audited);
    Truth {
        accounts: entries("accounts", false, "SELECT id, version, balance FROM accounts ORDER BY id"),
        changes,
        effects: rows(bank, "ledger", false, effects).into_iter().map(effect).collect(),
        ledger: entries("ledger", false, balances),
        bookings: log("ledger", "bookings").map(|(at, _, _)| at).collect(),
        audited: audited
            .iter()
            .map(|row| (number(&row[0]), number(&row[1]), number(&row[2]), number(&row[3])))
            .collect(),
        read_model: entries("audit", true, balances),
        parked: parked(bank),
    }
}

/// Keys that are parked anywhere.
pub(crate) fn parked(bank: &Bank) -> Vec<String> {
    let mut parked = Vec::new();
    for (service, projection) in [("ledger", false), ("audit", false), ("audit", true)] {
        let sql = "SELECT consumer, topic, key, state, reason FROM divisi_parked_key";
        parked.extend(rows(bank, service, projection, sql).into_iter().map(|row| row.join(" ")));
        let sql = "SELECT consumer, topic, key, lane, pos FROM divisi_parked_event";
        parked.extend(rows(bank, service, projection, sql).into_iter().map(|row| row.join(" ")));
    }
    parked
}

/// The rows of a query in the database of a service or, with `projection`, of its read model, as texts.
pub(crate) fn rows(bank: &Bank, service: &str, projection: bool, sql: &str) -> Vec<Vec<String>> {
    match bank.postgres().filter(|_| bank.is_on_postgres(service)) {
        Some(server) => {
            let schema = if projection { format!("balances_v{}", active(bank)) } else { "public".to_owned() };
            // A row as an array of texts, whatever its columns are called.
            let sql = format!(
                "SET search_path TO {schema}; SELECT coalesce(json_agg((SELECT json_agg(value ORDER BY n) \
                 FROM json_each_text(row_to_json(q)) WITH ORDINALITY AS x (key, value, n))), '[]') FROM ({sql}) AS q"
            );
            let text = wait(server.sql_in(format!("bank_{service}").as_str(), sql));
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
        }
        None => {
            let name = match projection {
                true => format!("{service}.balances.v{}.db", active(bank)),
                false => format!("{service}.db"),
            };
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let file = Connection::open_with_flags(bank.data().join(name), flags).expect("a database");
            file.busy_timeout(Duration::from_secs(5)).expect("a wait");
            let mut statement = file.prepare(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
            let n_columns = statement.column_count();
            let row = |row: &rusqlite::Row<'_>| {
                (0..n_columns).map(|n| row.get::<_, rusqlite::types::Value>(n).map(plain)).collect()
            };
            statement.query_map([], row).expect("rows").collect::<Result<_, _>>().expect("rows")
        }
    }
}

fn plain(value: rusqlite::types::Value) -> String {
    use rusqlite::types::Value::{Blob, Integer, Null, Real, Text};
    match value {
        Null => "-".to_owned(),
        Integer(n) => n.to_string(),
        Real(x) => x.to_string(),
        Text(text) => text,
        Blob(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

fn pairs(rows: &[Vec<String>]) -> impl Iterator<Item = (i64, i64)> {
    rows.iter().map(|row| (number(&row[0]), number(&row[1])))
}

fn entry(row: &[String]) -> Entry {
    Entry { account: number(&row[0]), version: number(&row[1]), balance: number(&row[2]) }
}

fn number(text: &str) -> i64 {
    text.parse().unwrap_or_else(|error| panic!("{error}: {text}"))
}

impl Truth {
    /// How long each event that was appended in a span of time waited for its effect in the ledger, the longest last.
    pub(crate) fn waits(&self, from: i64, to: i64) -> Vec<Duration> {
        let applied: BTreeMap<(i64, i64), i64> = self
            .effects
            .iter()
            .map(|effect| ((effect.entry.account, effect.entry.version), effect.time))
            .collect();
        let wait = |change: &Change| {
            let effect = applied.get(&(change.at.account, change.at.version))?;
            Some(Duration::from_micros(u64::try_from(effect - change.time).unwrap_or(0)))
        };
        let appended = self.changes.iter().filter(|change| (from..to).contains(&change.time));
        let mut waits: Vec<Duration> = appended.filter_map(wait).collect();
        waits.sort_unstable();
        waits
    }
}
