//! Feed to inbox to handler, in one transaction.
