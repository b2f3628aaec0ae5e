//! A projection whose surroundings are in trouble.

mod fixture;
mod swap;
mod trouble;
