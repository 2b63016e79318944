//! What the measurements share. Each `src/bin` is one subject.

pub mod disk;
pub mod load;
pub mod plot;
pub mod policies;
pub mod queue;
pub mod queue_servers;
pub mod server;
pub mod trace;
