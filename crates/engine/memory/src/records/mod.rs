//! Where entries lie: as records in segments of one region of memory, in the order of two queues; large values aside.

pub(crate) mod heap;
mod holes;
pub(crate) mod queue;
pub(crate) mod record;
pub(crate) mod region;
pub(crate) mod segment;
mod way;
