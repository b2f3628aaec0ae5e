//! What a service remembers.
