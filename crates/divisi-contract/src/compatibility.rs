//! An old promise against a new one: additive, or breaking.
