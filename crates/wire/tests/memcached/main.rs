//! What the memcached parsers promise whatever the other side sends.

mod answers;
mod corpus;
mod properties;
mod refusals;
mod replies;
mod stream;
