//! Queues on the commit log.
