//! Every metric: its name, its type, what it says.

pub(crate) const SERVICE_UP: &str = "divisi_service_up";
pub(crate) const LOG_END: &str = "divisi_log_end";
pub(crate) const LOG_EPOCH: &str = "divisi_log_epoch";
pub(crate) const READER_UNREAD: &str = "divisi_reader_unread_events";
pub(crate) const READER_OLDEST_UNREAD: &str = "divisi_reader_oldest_unread_seconds";
pub(crate) const CONSUMER_UNREAD: &str = "divisi_consumer_unread_events";
pub(crate) const CONSUMER_OLDEST_UNREAD: &str = "divisi_consumer_oldest_unread_seconds";
pub(crate) const CONSUMER_EPOCH: &str = "divisi_consumer_epoch";
pub(crate) const CONSUMER_HANDLED: &str = "divisi_consumer_handled_total";
pub(crate) const CONSUMER_REPEATS: &str = "divisi_consumer_repeats_total";
pub(crate) const CONSUMER_GAPS: &str = "divisi_consumer_gaps_total";
pub(crate) const CONSUMER_FALLS: &str = "divisi_consumer_falls_total";
pub(crate) const CONSUMER_LANES: &str = "divisi_consumer_lanes";
pub(crate) const CONSUMER_CARRIED: &str = "divisi_consumer_carried_lanes";
pub(crate) const PARKED_KEYS: &str = "divisi_parked_keys";
pub(crate) const PARKED_EVENTS: &str = "divisi_parked_events";
pub(crate) const STORE_TRANSACTIONS: &str = "divisi_store_transactions_total";
pub(crate) const STORE_COMMITS: &str = "divisi_store_commits_total";
pub(crate) const STORE_WAITING: &str = "divisi_store_waiting_transactions";
pub(crate) const STORE_WAL: &str = "divisi_store_wal_bytes";
pub(crate) const CALLS_IN_FLIGHT: &str = "divisi_calls_in_flight";
pub(crate) const CALLS_REFUSED: &str = "divisi_calls_refused_total";
pub(crate) const CALLS_SERVED: &str = "divisi_calls_served_total";

/// A number that goes up and down.
const GAUGE: &str = "gauge";
/// A number that only grows, until its process starts anew.
const COUNTER: &str = "counter";

/// Name, type and help, in the order in which they are told.
pub(super) const ALL: [(&str, &str, &str); 23] = [
    (SERVICE_UP, GAUGE, "Whether a service on this machine answers."),
    (LOG_END, GAUGE, "Events that were ever appended to a log."),
    (LOG_EPOCH, GAUGE, "The epoch of a log: which life of its database."),
    (READER_UNREAD, GAUGE, "Events that a reader has before it, as it last told the log's owner."),
    (READER_OLDEST_UNREAD, GAUGE, "Age of the oldest of those; 0 when there is none."),
    (CONSUMER_UNREAD, GAUGE, "Events that a consumer has before it, of now."),
    (
        CONSUMER_OLDEST_UNREAD,
        GAUGE,
        "Age of the oldest event that a consumer has before it; 0 when there is none.",
    ),
    (CONSUMER_EPOCH, GAUGE, "The epoch of its source that a consumer has entered."),
    (CONSUMER_HANDLED, COUNTER, "Events that were handled."),
    (CONSUMER_REPEATS, COUNTER, "Events that arrived though they had taken effect."),
    (CONSUMER_GAPS, COUNTER, "Events that arrived before one that comes before them."),
    (CONSUMER_FALLS, COUNTER, "How often a lane went from the carrier to the log."),
    (
        CONSUMER_LANES,
        GAUGE,
        "Lanes that this process applies; other instances of the service apply the rest.",
    ),
    (CONSUMER_CARRIED, GAUGE, "Lanes that are read from the carrier, all others from the log."),
    (PARKED_KEYS, GAUGE, "Parked keys, by state; the dead ones wait for an operator."),
    (PARKED_EVENTS, GAUGE, "Events of parked keys."),
    (STORE_TRANSACTIONS, COUNTER, "Transactions that were committed."),
    (STORE_COMMITS, COUNTER, "COMMITs that made them so; fewer where several share one, and its sync."),
    (
        STORE_WAITING,
        GAUGE,
        "Calls and lanes that wait for the only writer of SQLite, or for a lock of the whole PostgreSQL database.",
    ),
    (
        STORE_WAL,
        GAUGE,
        "Bytes of the write-ahead log after the last COMMIT, of a database that has one of its own.",
    ),
    (CALLS_IN_FLIGHT, GAUGE, "Calls from this process to a service that have no answer yet."),
    (CALLS_REFUSED, COUNTER, "Calls that were not made, since too many were in flight to that service."),
    (CALLS_SERVED, COUNTER, "Calls from other processes that were answered."),
];
