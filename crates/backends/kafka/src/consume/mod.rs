//! Being one of a queue's group, only while somebody here asks for its messages: reading the partitions that are ours, moving on
//! what waits in Kafka, committing what was settled, and removing what is finished.

mod attend;
mod carry;
mod commit;
mod follow;
pub(crate) mod member;
pub(crate) mod read;
pub(crate) mod trim;
