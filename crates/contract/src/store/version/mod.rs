//! What versions are good for, the store's own and those that a writer names.

pub mod condition;
pub mod named;
