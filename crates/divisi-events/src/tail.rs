//! The newest records of a log, in memory.
