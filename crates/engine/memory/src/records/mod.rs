//! Where entries lie: as records in segments of memory, in the order of two queues; large values aside.

pub(crate) mod heap;
pub(crate) mod large;
pub(crate) mod queue;
pub(crate) mod record;
pub(crate) mod segment;
