//! What the macros of divisi do, as a library that tests can call.
