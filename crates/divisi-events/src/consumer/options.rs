//! The limits of a consumer, each with a name, a default and its reason.

use std::time::Duration;

/// Events of one transaction at the most: enough to spread the cost of a commit, few enough to be done again.
pub const BATCH_EVENTS_MAX: usize = 100;
/// Work of one transaction at the most: on SQLite every writer waits while it runs, and so does whatever else its thread
/// has to do.
pub const BATCH_WORK_MAX: Duration = Duration::from_micros(500);
/// Work of one transaction at the most while a call waits for it.
pub const BATCH_WORK_WHILE_CALLS_WAIT: Duration = Duration::from_micros(200);
/// Time of one transaction at the most where the store waits for a server. Its own lane waits for it, and whoever wants a row that it has
/// changed; and each statement takes as long as a trip there, or as long as a busy server lets it wait: at less time a batch would be
/// the smaller the more there is to do, and its BEGIN, COMMIT and sync would cost as much as its events.
pub const BATCH_WORK_MAX_AT_A_SERVER: Duration = Duration::from_millis(100);
/// The same while calls of the service are under way in this process, which may wait for a row that a handler has changed.
pub const BATCH_WORK_WHILE_CALLS_WAIT_AT_A_SERVER: Duration = Duration::from_millis(20);
/// Transactions of one input under way at once: as many as there are lanes, since those that wait together commit
/// together.
pub const TRANSACTIONS_MAX: usize = 64;
/// Events of a transaction of late, on the average, from which on an input begins [`TRANSACTIONS_OF_MANY`] at once and no more, where the store
/// waits for a server.
pub const MANY_EVENTS: f32 = 8.0;
/// The same for an input that does so already: few at a time are larger by themselves.
pub const MANY_EVENTS_STILL: f32 = 10.0;
/// So many transactions of one input while each has [`MANY_EVENTS`]; the next begins when one of them ends, or is [`QUICK_FOR`] old. With four
/// at a time, half as many more events went through two busy cores as with twelve; with four for single events they came late.
pub const TRANSACTIONS_OF_MANY: usize = 4;
/// From then on a transaction is one that waits for something, and in nobody's way.
pub const QUICK_FOR: Duration = Duration::from_millis(20);
/// Bytes that wait to be applied before no more are asked for: one answer is applied while the next is on its way.
pub const QUEUE_BYTES_MAX: usize = 256 * 1024;
/// The same where the store waits for a server: there a transaction costs several trips and a sync of its own, so each lane
/// should have a batch in hand when its turn comes.
pub const QUEUE_BYTES_MAX_AT_A_SERVER: usize = 2 * 1024 * 1024;
/// Attempts of an error that is neither known to pass nor known to stay.
pub const ATTEMPTS_MAX: u32 = 5;
/// How long a lane may wait for something to pass before somebody is told.
pub const ALARM_AFTER: Duration = Duration::from_secs(60);
/// How long the source keeps a question that it has nothing for.
pub const WAIT: Duration = Duration::from_secs(5);

/// The limits of a consumer.
///
/// ```
/// use divisi_events::consumer::ConsumerOptions;
///
/// assert_eq!(ConsumerOptions::default().batch_events_max, 100);
/// assert!(ConsumerOptions::by_count().batch_work_max.is_none(), "the same history whatever the machine");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ConsumerOptions {
    /// Events of one transaction; see [`BATCH_EVENTS_MAX`].
    pub batch_events_max: usize,
    /// Work of one transaction where the store works in this process, as SQLite does; none: by count alone. See
    /// [`BATCH_WORK_MAX`].
    pub batch_work_max: Option<Duration>,
    /// The same where the store waits for a server, as PostgreSQL does; see [`BATCH_WORK_MAX_AT_A_SERVER`].
    pub batch_work_max_at_a_server: Option<Duration>,
    /// Transactions of one input under way; see [`TRANSACTIONS_MAX`].
    pub transactions_max: usize,
    /// Bytes of one input that wait to be applied; see [`QUEUE_BYTES_MAX`].
    pub queue_bytes_max: usize,
    /// The same where the store waits for a server, as PostgreSQL does; see [`QUEUE_BYTES_MAX_AT_A_SERVER`].
    pub queue_bytes_max_at_a_server: usize,
    /// Between two attempts of a lane, or of a question to a source.
    pub backoff: Backoff,
    /// Between two attempts of a parked key.
    pub redrive: Backoff,
    /// Attempts of an unclassified error; see [`ATTEMPTS_MAX`].
    pub attempts_max: u32,
    /// When a lane that backs off is called an error; see [`ALARM_AFTER`].
    pub alarm_after: Duration,
    /// When lanes pause instead of parking.
    pub pause: PauseOptions,
    /// How long a question may wait at the source; see [`WAIT`].
    pub wait: Duration,
}

/// A span that doubles with each attempt, shortened at random so that many do not come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// After the first attempt.
    pub min: Duration,
    /// After many.
    pub max: Duration,
}

/// When so much fails that it must be a bad deployment: a lane then waits with its next event instead of parking it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PauseOptions {
    /// So many keys may be parked within the window.
    pub keys_max: usize,
    /// So large a share of the events may be parked within the window …
    pub share_max: f64,
    /// … once there are so many events that a share says something.
    pub share_of_events_min: u64,
    /// The window.
    pub window: Duration,
    /// How often a paused lane tries its next event.
    pub try_every: Duration,
}

impl Default for ConsumerOptions {
    fn default() -> ConsumerOptions {
        ConsumerOptions {
            batch_events_max: BATCH_EVENTS_MAX,
            batch_work_max: Some(BATCH_WORK_MAX),
            batch_work_max_at_a_server: Some(BATCH_WORK_MAX_AT_A_SERVER),
            transactions_max: TRANSACTIONS_MAX,
            queue_bytes_max: QUEUE_BYTES_MAX,
            queue_bytes_max_at_a_server: QUEUE_BYTES_MAX_AT_A_SERVER,
            backoff: Backoff { min: Duration::from_millis(50), max: Duration::from_secs(30) },
            redrive: Backoff { min: Duration::from_millis(250), max: Duration::from_secs(30) },
            attempts_max: ATTEMPTS_MAX,
            alarm_after: ALARM_AFTER,
            pause: PauseOptions::default(),
            wait: WAIT,
        }
    }
}

impl Default for PauseOptions {
    fn default() -> PauseOptions {
        PauseOptions {
            keys_max: 20,
            share_max: 0.05,
            share_of_events_min: 400,
            window: Duration::from_secs(60),
            try_every: Duration::from_secs(10),
        }
    }
}

impl ConsumerOptions {
    /// Limits by count alone, for a simulation whose history must not depend on the machine's speed.
    pub fn by_count() -> ConsumerOptions {
        ConsumerOptions {
            batch_work_max: None,
            batch_work_max_at_a_server: None,
            ..ConsumerOptions::default()
        }
    }
}

impl Backoff {
    /// How long to wait after `attempts` attempts in a row, 1 for the first.
    pub fn after(&self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(20);
        let span = self.min.saturating_mul(1 << doublings).min(self.max);
        span.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}
