//! The table of backends: one file each, and its line here.

mod kafka;
mod memcached;
mod rabbitmq;
mod redis;
mod sqs;
mod table;

pub(crate) use table::{Backend, Built, Role, TABLE};
