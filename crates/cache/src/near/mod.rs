//! A shared store, and copies of what was read of it in the memory of this process.
//!
//! [`near_cache`] is the store with its copies: what callers hold, and what may be kept of an answer; `change` is what a change
//! leaves of a copy, and `port` the port `RemoteStore` by means of both. [`alone`] is the memory of this process where there is
//! no shared store: the same port over a `LocalStore`.

pub mod alone;
mod change;
pub mod near_cache;
mod port;
