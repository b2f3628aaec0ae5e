//! Events folded into a read model.
