//! In flight.
