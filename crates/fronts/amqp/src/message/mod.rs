//! What a message is in both worlds: AMQP's properties and body, and the broker's message.

mod deaths;
pub(crate) mod expiration;
pub(crate) mod headers;
pub(crate) mod incoming;
pub(crate) mod outgoing;
pub(crate) mod weight;
