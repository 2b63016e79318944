//! Queues on Apache Kafka: the port [`Broker`](forebay_core::ports::broker::Broker) over consumer groups, and its administration.
//!
//! A queue is a topic, which others may see and use, and a second one in which messages wait, a partition for each length of
//! waiting. The processes that receive from a queue are one group: each has some partitions, and hands out what is in them to
//! as many receivers as ask. Messages are settled one by one, in any order: a commit says up to where all are, and in its
//! metadata which of the others are.
//!
//! What Kafka cannot keep is kept in the process that has a message's partition, for as long as it has it: holds. When a
//! partition goes to another process, that hands out again what was held.
//!
//! The port [`Bus`](forebay_core::ports::bus::Bus) stands on a topic of its own, of one partition, which every process reads as a
//! whole.

pub mod admin;
pub mod broker;
pub mod bus;
mod consume;
mod expired;
mod inner;
mod link;
mod message;
mod publish;
mod queue;
mod receive;
mod registry;
pub mod settings;
mod settle;
