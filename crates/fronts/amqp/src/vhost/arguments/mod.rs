//! The arguments of a queue: what they ask for, and whether two queues are declared alike.

pub(crate) mod compare;
pub(crate) mod read;
mod words;
