//! The classic commands of the text protocol, one file a family: a verb and its words.

pub(super) mod admin;
pub(super) mod crawler;
pub(super) mod keyed;
pub(super) mod retrieval;
pub(super) mod storage;
pub(super) mod watch;
