//! Keys that cannot go on, and their events in order.
