//! What the AMQP tests are made of: a client of bytes, and a load that is checked while the daemon is killed.

pub mod bytes;
pub mod load;
