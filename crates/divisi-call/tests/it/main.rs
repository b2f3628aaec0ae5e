//! What a client concludes, in one binary.

mod keys;
mod retries;
mod slots;
mod words;
