//! SQLite as store.
