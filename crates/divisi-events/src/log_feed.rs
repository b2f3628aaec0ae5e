//! Answers fetches from a log.
