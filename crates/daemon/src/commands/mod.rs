//! Operator commands: clients of a running daemon, over HTTP (`client` asks, `show` prints), and what needs none.

pub(crate) mod cache;
mod client;
mod declared;
#[cfg(feature = "demo")]
pub(crate) mod demo;
mod messages;
pub(crate) mod password;
pub(crate) mod queue;
mod show;
