//! What the memcached front is compared with memcached by.

pub mod differential;
pub mod history;
pub mod near;
pub mod packets;
pub mod replies;
