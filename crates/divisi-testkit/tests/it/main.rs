//! The testkit's own promises, and the model checks of events against the real code.

mod carrier;
mod model;
mod relay;
