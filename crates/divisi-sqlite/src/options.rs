//! What can be chosen about a SQLite store, and why each default.

use std::time::Duration;

use divisi_store::Clock;

/// How SQLite stores are opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where timestamps come from.
    pub clock: Clock,
    /// Whether everything runs on the caller's thread, with limits by count and not by time: for simulation on a
    /// paused runtime, where one seed must make one history.
    pub inline: bool,
    /// What a commit waits for.
    pub synchronous: Synchronous,
    /// How long one transaction may hold the writer.
    pub transaction_limit: Duration,
    /// How many transactions share a commit at most.
    pub group_members_max: usize,
    /// How long a group may grow, unless the last sync took longer.
    pub group_time: Duration,
    /// How many connections read beside the writer.
    pub readers: usize,
    /// How many pages of 4 KiB a file may have; `None` leaves it to the disk.
    pub pages_max: Option<u32>,
    /// How many epochs, the newest, stay in the list though every reader has entered a later one: a reader whose own
    /// database is put back to an older copy finds the epoch that it had entered. One is begun at each start.
    pub epochs_kept: u32,
    /// How long the log keeps what every registered reader has; `None` keeps everything.
    pub retention: Option<Duration>,
    /// Where this process can be reached; a second process that wants a file of ours is told.
    pub address: Option<String>,
}

/// What a commit waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// The disk has it: what was acknowledged survives a power cut.
    #[default]
    Full,
    /// The operating system has it: the last transactions may be lost in a power cut.
    Normal,
    /// Nothing: for controls in tests, and for simulation.
    Off,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            clock: Clock::System,
            inline: false,
            synchronous: Synchronous::Full,
            transaction_limit: Duration::from_millis(250),
            group_members_max: 256,
            group_time: Duration::from_millis(2),
            readers: 4,
            pages_max: None,
            epochs_kept: 256,
            retention: None,
            address: None,
        }
    }
}

impl Options {
    /// What simulation uses: `clock`, everything inline, no sync, one reader, and epochs forgotten as soon as may be.
    pub fn simulated(clock: Clock) -> Options {
        Options { clock, inline: true, synchronous: Synchronous::Off, readers: 1, ..Options::default() }
    }
}

impl Synchronous {
    pub(crate) fn as_sql(self) -> &'static str {
        match self {
            Synchronous::Full => "FULL",
            Synchronous::Normal => "NORMAL",
            Synchronous::Off => "OFF",
        }
    }
}
