//! The testkit's own promises, and the events of the real crates under faults.

mod carrier;
