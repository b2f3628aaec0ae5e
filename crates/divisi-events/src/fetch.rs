//! The one question that a consumer asks of a log.

use std::sync::Arc;

use divisi_call::BoxFuture;
use divisi_contract::{Answer, Context};
use divisi_store::{Epoch, Epochs, Lane, Pos, Record};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event_log::Progress;

/// Records of one answer at the most.
pub const RECORDS_MAX: u32 = 512;
/// Bytes of one answer at the most, but always one record.
pub const BYTES_MAX: u32 = 256 * 1024;
/// How long a source keeps a question that it has nothing for, at the most.
pub const WAIT_MS_MAX: u32 = 5_000;

/// A question to a log: what comes after these positions?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fetch {
    /// The topic.
    pub topic: Arc<str>,
    /// Who asks: a consumer's or a relay's name, under which its progress is kept.
    pub reader: Arc<str>,
    /// Only the lanes that it can take now, the longest unserved first.
    pub lanes: Vec<LaneWanted>,
    /// At most so many records; 0 asks for heads and epochs alone.
    pub max_records: u32,
    /// At most so many bytes, but always one record.
    pub max_bytes: u32,
    /// How long to wait when there is nothing, in milliseconds.
    pub wait_ms: u32,
}

/// How far the reader is in one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LaneWanted {
    /// The lane.
    pub lane: Lane,
    /// The epoch that the reader has entered.
    pub epoch: Epoch,
    /// The last position that the reader has in hand: what comes after it is wanted.
    pub pos: Pos,
    /// The last position that took effect there, at or below `pos`: the reader's progress, which retention trusts.
    pub applied: Pos,
}

/// The answer: per lane contiguous from the wanted position. It may be empty and may repeat; it never skips.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fetched {
    /// The records.
    pub records: Vec<Arc<Record>>,
    /// The end of each wanted lane.
    pub heads: Vec<(Lane, Pos)>,
    /// The source's list of epochs, for the wanted lanes. The one of today alone, when the reader is in it in every
    /// lane and there was room for records.
    pub epochs: Epochs,
}

/// Answers fetches: a log in this process, or one elsewhere.
pub trait Feed: Send + Sync + 'static {
    /// Asks. Dropping the future takes the question back.
    fn fetch<'a>(&'a self, cx: &'a Context, want: Fetch) -> BoxFuture<'a, Answer<Fetched, FetchRefused>>;

    /// Tells how far a reader is when no fetch will: at its stop. A feed that keeps no progress lets it pass.
    fn progress<'a>(&'a self, _cx: &'a Context, _told: Progress) -> BoxFuture<'a, Answer<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Why a log did not answer.
#[divisi_macros::refusal(crate = divisi_call)]
#[derive(Eq)]
pub enum FetchRefused {
    /// The app's graph does not name the caller as a listener, or the reader is another service's.
    #[refuse(
        403,
        "the caller is not a listener of this topic, or the reader is not the caller's; describe its reaction or projection in the app"
    )]
    NotAllowed,
    /// The service has no such topic.
    #[refuse(404, "the service has no such topic")]
    NoSuchTopic,
    /// The reader has entered an epoch above the source's: this log answers for an older life of the database.
    #[refuse(409, "the reader has entered an epoch above {current}, which is the source's of today")]
    EpochAhead {
        /// The source's epoch of today.
        current: Epoch,
    },
    /// Retention has removed what the reader needs next.
    #[refuse(
        410,
        "retention has removed lane {lane} up to position {floor}, and the reader has not read that far"
    )]
    RetentionExceeded {
        /// The lane.
        lane: Lane,
        /// The highest position that was removed.
        floor: Pos,
    },
}
