//! A projection whose surroundings are in trouble, or that has changed.

mod fixture;
mod shapes;
mod swap;
mod trouble;
