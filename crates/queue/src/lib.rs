//! The queue's rules: publish, deliver, settle, retry, worker.
//!
//! They stand between whoever has messages (a front, the library) and a [`Broker`](forebay_core::ports::broker::Broker),
//! and are the same for every broker. They know no runtime: time comes from `Clock`, running from `Spawn`.

pub mod consumer;
pub mod deliver;
pub mod expire;
pub mod outcome;
mod pauses;
pub mod publish;
pub mod queues;
mod race;
pub mod settle;
pub mod worker;

#[cfg(test)]
mod scripted;
