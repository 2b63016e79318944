//! What each verb of the port says to the key's node, and how it takes the answer. One file per verb.

pub(crate) mod arithmetic;
mod ask;
pub(crate) mod fill;
pub(crate) mod get;
pub(crate) mod lease;
pub(crate) mod put;
pub(crate) mod remove;
pub(crate) mod touch;

#[cfg(test)]
mod tests;
