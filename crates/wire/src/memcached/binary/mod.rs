//! memcached's binary protocol: packets of 24 bytes and what belongs to them. [`parse::parse`] is the way in for servers,
//! [`response::write`] the way out.
//!
//! The format is that of the `BinaryProtocolRevamped` page of memcached's wiki; what a server answers to what is that of memcached 1.6.18,
//! which still speaks it and calls it deprecated.

mod opcode;
pub mod parse;
pub mod request;
pub mod response;
pub mod status;

/// The first byte of a request. No command of the text protocol begins with it.
pub const REQUEST_MAGIC: u8 = 0x80;
/// The first byte of a response.
pub const RESPONSE_MAGIC: u8 = 0x81;
/// The length of what every packet begins with.
pub const HEADER_BYTES: usize = 24;
