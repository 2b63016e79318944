//! What the memcached parsers promise whatever the other side sends.

mod properties;
mod refusals;
mod replies;
mod stream;
