//! How each kind of exchange finds the destinations of a message.

pub(super) mod by_kind;
mod destinations;
pub(super) mod headers;
pub(super) mod topic;
