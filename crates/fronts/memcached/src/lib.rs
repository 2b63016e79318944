//! The memcached front.
