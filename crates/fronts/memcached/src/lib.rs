//! The memcached front: the text protocol of memcached on TCP and on a unix socket, over any local store or a near cache.
//!
//! [`serve::bind::bind`] opens the sockets; what it returns is run by the caller. A connection's turn is: read what is
//! there, parse it, carry out every command, answer with one write. A hit allocates nothing. [`serve::bind::bind_near`] does
//! the same before a shared store, which is asked for what there is no copy of.

pub mod access;
mod backing;
mod execute;
mod expiry;
mod near;
pub mod options;
mod outcome;
mod reply;
pub mod serve;
mod session;
mod shared;
mod stats;
mod told;
mod version;
mod watch;

pub use options::Options;
pub use serve::bind::{Addresses, Bound, bind, bind_near};
