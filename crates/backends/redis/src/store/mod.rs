//! The port `RemoteStore` on Redis.

mod entry;
mod scripts;
mod verbs;

pub use verbs::{RedisStore, open};
