//! One file for each resource, and what they share: names in paths, queries, and the shape of a message.

pub(crate) mod cache;
pub(crate) mod dead_letters;
pub(crate) mod deliveries;
pub(crate) mod found;
pub(crate) mod headers;
pub(crate) mod message;
pub(crate) mod messages;
pub(crate) mod path;
pub(crate) mod queues;
pub(crate) mod refusals;
