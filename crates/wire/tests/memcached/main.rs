//! What the memcached parser promises whatever a client sends.

mod properties;
mod refusals;
mod stream;
