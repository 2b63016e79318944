//! A message of the server's that lies in this process, unacknowledged.

use std::sync::Arc;

use forebay_core::message::Message;
use forebay_core::time::Instant;
use forebay_envelope::envelope::Envelope;
use lapin::Acker;

use super::names::Lane;

/// A message, where it came from, and how it is given an end on the server.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) envelope: Envelope,
    pub(crate) lane: Lane,
    /// Counted over all that came to this process.
    pub(crate) number: u64,
    /// The server's number for it, counted over all that came over its channel.
    pub(crate) tag: u64,
    pub(crate) acker: Acker,
    /// When it came to this process.
    pub(crate) arrived_at: Instant,
}

impl Letter {
    pub(crate) fn message(&self) -> &Arc<Message> {
        &self.envelope.message
    }

    /// Its key, if it has one.
    pub(crate) fn key(&self) -> Option<&str> {
        self.envelope.message.key.as_deref()
    }
}
