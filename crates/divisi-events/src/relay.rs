//! From the log to a carrier, in order, at least once.
