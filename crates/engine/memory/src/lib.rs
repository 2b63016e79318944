//! The embedded memory store.
