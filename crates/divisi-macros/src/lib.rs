//! The entry points of divisi's macros.
