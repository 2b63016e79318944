//! Real servers of other projects, for tests: each has a port of this machine and a folder of its own, can be stopped, killed,
//! paused and started again where it was, and ends with the test, however that ends.
//!
//! - [`memcached`], [`redis`], [`rabbitmq`], [`kafka`], [`moto`]: the servers
//! - [`wire`]: a wire to one of them that can be cut, and that can lose what goes over it
//! - [`lent`]: a few of them that many tests share, one at a time
//! - [`within`], [`until`]: waiting for something without sleeping for a guessed time

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot start its parts has failed")]

pub mod kafka;
pub mod lent;
pub mod memcached;
pub mod moto;
pub mod port;
mod process;
pub mod rabbitmq;
pub mod redis;
mod restarts;
mod wait;
pub mod wire;

pub use self::restarts::{Pauses, Restarts};
pub use self::wait::{until, within};
