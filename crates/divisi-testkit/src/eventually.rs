//! Waits for a condition, and says what was last seen when it does not come.

use std::fmt;
use std::time::{Duration, Instant};

/// Looks again and again until what it sees satisfies `done`, and brings it.
///
/// # Panics
///
/// When `within` has passed, with what was last seen.
pub fn eventually<T: fmt::Debug>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> T,
    mut done: impl FnMut(&T) -> bool,
) -> T {
    let began = Instant::now();
    loop {
        let seen = look();
        if done(&seen) {
            return seen;
        }
        let waited = began.elapsed();
        assert!(waited < within, "{what}: not within {within:?}; last seen: {seen:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
