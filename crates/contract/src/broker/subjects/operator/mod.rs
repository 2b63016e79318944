//! What an operator asks and does.

pub mod admin;
pub mod find;
pub mod pause;
