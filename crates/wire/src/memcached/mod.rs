//! The memcached text protocol as servers read it: bytes in, borrowed commands out.
//!
//! [`parse::parse`] is the way in. The judge of every answer here is memcached 1.6.18, oddities included, because
//! clients were written against it: numbers are read as C reads them, a NUL ends a line early, only spaces separate.

mod admin;
pub mod command;
mod keyed;
mod line;
pub mod meta;
mod number;
pub mod parse;
pub mod refusal;
mod retrieval;
mod storage;
pub mod words;
