//! Faults of the catalogue that need the whole blog: files that go back in time, a second owner, an end in the middle
//! of everything.

mod going_back;
mod graceful;
mod restored;
mod schema;
mod second_owner;
