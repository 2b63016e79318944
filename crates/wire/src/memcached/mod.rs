//! memcached's protocols: bytes in, borrowed commands or replies out.
//!
//! [`parse::parse`] is the way in for servers that speak the text protocol, [`reply::read`] for its clients; the other protocol
//! is [`binary`]. The judge of every answer here is memcached
//! 1.6.18, oddities included, because clients were written against it: numbers are read as C reads them, a NUL ends a line
//! early, only spaces separate.

pub mod auth;
pub mod binary;
mod classic;
pub mod command;
mod line;
pub mod meta;
mod number;
pub mod parse;
pub mod refusal;
pub mod reply;
pub mod words;
