//! Queues on the commit log.
//!
//! A map of the crate. The state of all queues is in memory and is the sum of the log's records:
//! - `records`: what is written, byte by byte, and why a prefix of it can be released
//! - `state`: one queue in memory, and the steps by which records change it
//! - `storage`: the log as the broker uses it, with the count of what lives in each segment; giving its space back;
//!   recovery, which takes the same steps from the log
//! - `topology`: which queues there are
//! - `publish`, `receive`, `settle`, `moves` (dead letters and redrive), `timers` (delay, expiry, holds that run out),
//!   `admin`: what can be done with them
//! - `memory`: which bodies stay in it, what queues take of it, and taking less
//! - [`routing`]: AMQP's exchanges and bindings, as pure code; [`virtual_hosts`]: those that there are, in the log
//! - [`broker`]: the handle, the ports
//! - [`bus`]: notices to everybody in the process, beside the queues

mod admin;
#[cfg(test)]
mod bench;
pub mod broker;
pub mod bus;
mod engine;
#[cfg(test)]
mod histories;
mod memory;
mod moves;
mod publish;
mod receive;
mod records;
pub mod routing;
mod settle;
mod state;
mod storage;
mod timers;
mod topology;
pub mod virtual_hosts;

pub use broker::{BrokerOptions, EmbeddedBroker, OpenedBroker, open};
pub use bus::embedded::{BusOptions, EmbeddedBus};
pub use storage::recover::Recovered;
