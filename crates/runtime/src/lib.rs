//! The runtime's ports on tokio: a clock, and the running and draining of what constructors return.

pub mod clock;
pub mod tasks;
