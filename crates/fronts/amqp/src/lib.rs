//! The AMQP 0-9-1 front: what RabbitMQ's clients say, translated into queues on the commit log.
//!
//! - [`access`]: who may come in, and what they may do
//! - `server`: the socket, and what is accepted from it
//! - `connection`: one connection, from its first octet to its last: greeting, limits, heartbeats, reading and writing
//! - `channel`: the state of one channel: a content that is coming, confirms, consumers, what is not settled
//! - `methods`: what the methods do, one file for each class; `basic` has several
//! - `vhost`: exchanges, bindings and queues as AMQP declares them
//! - `message`: what a message is in both worlds
//! - `replies`: replies that go straight to who asked
//! - `exception`: why a channel or connection is closed
//! - `budget`: what is bounded over several channels or connections
//!
//! [`server::bind`] takes the socket and starts nothing.

pub mod access;
#[cfg(test)]
mod bench;
mod budget;
mod channel;
mod connection;
mod exception;
mod message;
mod methods;
mod options;
mod replies;
mod server;
mod shared;
mod vhost;

pub use options::{Options, Parts};
pub use server::{Bound, bind};
