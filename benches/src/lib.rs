//! What the measuring programs share: servers as child processes with their processor time, and the load on them.

pub mod load;
pub mod server;
