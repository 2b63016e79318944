//! What is asked of SQS and what it answers, through the vendor's client.

mod actions;
pub(crate) mod connect;
pub(crate) mod refusal;

pub(crate) use self::actions::{Change, Entry, Taken};
