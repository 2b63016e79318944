//! Queues on Amazon SQS: the port [`Broker`](forebay_core::ports::broker::Broker), and its administration as far as SQS goes.
//!
//! A queue is a queue of SQS's, ordered by group where order is kept by key, with its settings in its tags, and a second one
//! beside it in which its messages wait for their time. The payload is the message's body, so that other programs can send and
//! read; everything else is in one attribute.
//!
//! What was received is hidden from others for a short time, which is prolonged as long as this process lives and has it. A
//! message that is given up or tried again is sent anew before the old one is deleted: whoever dies in between leaves two,
//! never none.

pub mod admin;
pub mod broker;
mod holds;
mod inner;
mod later;
mod message;
mod poll;
mod publish;
mod queue;
mod receive;
pub mod settings;
mod settle;
mod wire;
