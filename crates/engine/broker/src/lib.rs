//! Queues on the commit log.

mod records;
