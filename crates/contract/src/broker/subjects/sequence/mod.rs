//! What goes first, what waits, and what does not come twice.

pub mod dedup;
pub mod order;
pub mod priority;
