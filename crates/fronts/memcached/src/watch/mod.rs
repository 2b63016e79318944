//! `watch`: who is told of what happens, and in which words.

pub(crate) mod events;
pub(crate) mod follow;
pub(crate) mod line;
pub(crate) mod log;
