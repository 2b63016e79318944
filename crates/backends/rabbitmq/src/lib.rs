//! Queues on RabbitMQ: the port [`Broker`](forebay_core::ports::broker::Broker) over AMQP 0-9-1, and its administration as
//! far as AMQP alone can.
//!
//! A queue is a queue of the server, which others may see and use, with a few more beside it: its settings, one for each
//! priority, what is tried again of an ordered queue, and those where messages wait for their time. A message that is given
//! up or tried again is published anew, confirmed, before the old one is acknowledged: whoever dies in between leaves two,
//! never none.
//!
//! The port [`Bus`](forebay_core::ports::bus::Bus) stands on a stream of the server's, with a connection of its own.
//!
//! What AMQP cannot keep on the server is kept in this process for as long as the connection lives: holds. When the
//! connection ends the server hands out again what was held.

pub mod admin;
pub mod broker;
pub mod bus;
mod consume;
mod expired;
mod inner;
mod lead;
mod link;
mod message;
mod publish;
mod queue;
mod receive;
pub mod settings;
mod settle;
