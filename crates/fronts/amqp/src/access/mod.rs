//! Who may come in, and what they may do there.

pub mod login;
pub mod password;
pub mod permissions;
pub mod user;
