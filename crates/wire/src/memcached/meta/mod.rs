//! The meta commands: one key and flags of one letter each, some with a token behind the letter.

pub mod base64;
pub mod count;
pub mod debug;
pub mod delete;
mod flags;
pub mod get;
pub mod key;
pub mod set;
