//! The memcached front: the text protocol of memcached on TCP and on a unix socket, over any local store.
//!
//! [`serve::bind::bind`] opens the sockets; what it returns is run by the caller. A connection's turn is: read what is
//! there, parse it, carry out every command, answer with one write. A hit allocates nothing.

mod execute;
mod expiry;
pub mod options;
mod outcome;
mod reply;
pub mod serve;
mod session;
mod shared;
mod stats;
mod told;
mod version;

pub use options::Options;
pub use serve::bind::{Addresses, Bound, bind};
