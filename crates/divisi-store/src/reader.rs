//! Who reads this log, and how far each of them is.
