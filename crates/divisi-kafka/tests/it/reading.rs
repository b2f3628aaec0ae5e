//! What comes of subscriptions, hints and heads beyond the suite.
