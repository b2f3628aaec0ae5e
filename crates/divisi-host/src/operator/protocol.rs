//! What is said over an operator's connection: one question, one answer, each a line of JSON.

use std::error::Error;
use std::fmt;

use divisi_store::{Epoch, Lane, Pos, Position};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The largest question: a key and a few names.
pub(super) const QUESTION_BYTES_MAX: u64 = 64 * 1024;
/// The largest answer.
pub(super) const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What a service is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(super) enum Question {
    /// Its parked keys.
    Parked,
    /// The first events of a parked key.
    Kept { at: ParkedAt },
    /// To try a parked key now.
    Redrive { at: ParkedAt },
    /// To give up a parked key and its events.
    Drop { at: ParkedAt },
    /// To let the paused lanes of a consumer go on.
    Resume { consumer: String },
    /// How far its consumers are.
    Standing,
    /// How much of its log comes after these places.
    Unread { topic: String, lanes: Vec<(Lane, Epoch, Pos)> },
    /// Its log.
    Events { topic: Option<String>, key: Option<String>, after: Option<Position>, limit: usize },
    /// The versions of its projections.
    Projections,
    /// To build a projection anew.
    Rebuild { projection: String },
    /// Who reads its log.
    Readers,
    /// To forget a reader of its log.
    DropReader { reader: String },
    /// The lives of its database.
    Epochs,
    /// What it counts.
    Figures,
}

/// A parked key of a consumer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ParkedAt {
    pub(super) consumer: String,
    pub(super) source: String,
    pub(super) topic: String,
    pub(super) key: String,
}

/// What comes back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    /// What was asked for.
    Answer(Value),
    /// It was not done, and why.
    Refused(Refused),
}

/// Why a service did not do what it was asked, in words that travel: the error and its causes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refused {
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<Box<Refused>>,
}

impl Question {
    /// Whether it is a wish rather than a look.
    pub(super) fn changes(&self) -> bool {
        match self {
            Question::Redrive { .. }
            | Question::Drop { .. }
            | Question::Resume { .. }
            | Question::Rebuild { .. }
            | Question::DropReader { .. } => true,
            Question::Parked
            | Question::Kept { .. }
            | Question::Standing
            | Question::Unread { .. }
            | Question::Events { .. }
            | Question::Projections
            | Question::Readers
            | Question::Epochs
            | Question::Figures => false,
        }
    }
}

impl Refused {
    pub(super) fn new(message: impl Into<String>) -> Refused {
        Refused { message: message.into(), cause: None }
    }

    /// The words of an error and of everything that led to it.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Refused {
        let cause = error.source().map(|source| Box::new(Refused::of(source)));
        Refused { message: error.to_string(), cause }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Refused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &dyn Error)
    }
}

impl From<divisi_store::StoreError> for Refused {
    fn from(error: divisi_store::StoreError) -> Refused {
        Refused::of(&error)
    }
}
