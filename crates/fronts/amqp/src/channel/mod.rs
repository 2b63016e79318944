//! The state of one channel.

pub(crate) mod consumers;
pub(crate) mod content;
pub(crate) mod parked;
pub(crate) mod publisher;
pub(crate) mod state;
pub(crate) mod transaction;
pub(crate) mod unsettled;
