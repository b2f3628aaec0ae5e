//! Why a message of a carrier is not an event.

/// How much of a wrong value is shown.
const SHOWN_MAX: usize = 60;

/// Why a message of a carrier could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloudEventError {
    /// A header that every event has is not there.
    #[error("the header `{header}` is missing")]
    Missing {
        /// Its name, with the carrier's prefix.
        header: String,
    },
    /// A header says something that cannot be.
    #[error("the header `{header}` is `{value}`, which is not {expected}")]
    Wrong {
        /// Its name, with the carrier's prefix.
        header: String,
        /// The beginning of what it says.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The body is not what the headers say that it is.
    #[error("the body is not {expected}: {why}")]
    Body {
        /// What it should be.
        expected: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl CloudEventError {
    pub(super) fn wrong(header: String, value: &[u8], expected: &'static str) -> CloudEventError {
        let shown = value.get(..SHOWN_MAX).unwrap_or(value);
        let value = String::from_utf8_lossy(shown).escape_debug().to_string();
        CloudEventError::Wrong { header, value, expected }
    }
}
