//! Memory of queues: which bodies stay in it, what all of it comes to, and taking less.

pub(crate) mod hot;
mod taken;
