//! What happened, in order: printed when a seed fails.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// What happened in one simulation, with the simulated time of each. Cheap to clone; all clones are one history.
///
/// It is a function of the seed: nothing in it comes from the machine.
#[derive(Debug, Clone)]
pub struct History {
    began: Instant,
    lines: Arc<Mutex<Vec<Line>>>,
}

#[derive(Debug)]
struct Line {
    ms: u128,
    who: String,
    what: String,
}

impl History {
    /// Nothing has happened yet.
    pub fn begin() -> History {
        History { began: Instant::now(), lines: Arc::default() }
    }

    /// `who` did `what`, now.
    pub fn note(&self, who: impl Into<String>, what: impl Into<String>) {
        let line = Line { ms: self.began.elapsed().as_millis(), who: who.into(), what: what.into() };
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let width = lines.iter().map(|line| line.who.len()).max().unwrap_or(0);
        for Line { ms, who, what } in &*lines {
            writeln!(f, "{ms:>8} ms  {who:<width$}  {what}")?;
        }
        Ok(())
    }
}
