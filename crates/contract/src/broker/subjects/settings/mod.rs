//! What a queue does only where its settings ask for it.

pub mod newest;
pub mod retain;
