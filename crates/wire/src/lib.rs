//! Protocols as bytes and commands, without I/O: what arrives is borrowed from the caller's buffer.

pub mod amqp;
pub mod memcached;
