//! What happens at the same time while the trace is replayed: customers read, order in bursts, workers work.

pub(super) mod feed;
pub(super) mod floors;
pub(super) mod orders;
pub(super) mod pacer;
pub(super) mod publisher;
pub(super) mod readers;
pub(super) mod replay;
pub(super) mod workers;
