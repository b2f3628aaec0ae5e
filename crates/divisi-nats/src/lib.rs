//! NATS JetStream as a carrier of events.
