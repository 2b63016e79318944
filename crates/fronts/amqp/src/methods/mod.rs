//! What the methods do, one file for each class.

pub(crate) mod basic;
mod channel;
mod confirm;
mod connection;
mod dispatch;
mod exchange;
mod queue;
mod tx;
