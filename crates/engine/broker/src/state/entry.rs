//! What the broker keeps in memory of one message.

use std::sync::Arc;

use forebay_core::message::Message;
use forebay_core::time::Instant;
use forebay_log::Position;

use crate::storage::journal::Stored;

/// Where the record with a message's body lies. It changes when the message is carried forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) sequence: u64,
    /// 32 bits, which at 16 MiB a segment is 64 EiB of log, so that an entry stays small.
    pub(crate) segment: u32,
    pub(crate) offset: u32,
}

impl From<Position> for Location {
    fn from(position: Position) -> Self {
        let segment = u32::try_from(position.segment).unwrap_or(u32::MAX);
        Self { sequence: position.sequence, segment, offset: position.offset }
    }
}

impl From<Location> for Position {
    fn from(location: Location) -> Self {
        Self { sequence: location.sequence, segment: location.segment.into(), offset: location.offset }
    }
}

/// One message in a queue: 56 bytes, whatever the message's size.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its name and place in the queue.
    pub(crate) position: u64,
    location: Location,
    bytes: u32,
    /// Attempts that were begun.
    pub(crate) attempts: u32,
    pub(crate) published_at: Instant,
    /// [`NEVER`] for most. Set aside from the message's own, because a dead letter expires no more.
    pub(crate) expires_at: Instant,
    /// The message itself while it is kept in memory.
    pub(crate) body: Option<Arc<Message>>,
}

impl Entry {
    /// A message that was never delivered.
    pub(crate) fn new(position: u64, stored: Stored, published_at: Instant) -> Self {
        Self {
            position,
            location: stored.location,
            bytes: stored.bytes,
            attempts: 0,
            published_at,
            expires_at: NEVER,
            body: None,
        }
    }

    /// The record with its body.
    pub(crate) fn stored(&self) -> Stored {
        Stored { location: self.location, bytes: self.bytes }
    }

    /// Its body lies elsewhere from now on.
    pub(crate) fn carried(&mut self, to: Stored) {
        self.location = to.location;
        self.bytes = to.bytes;
    }
}

/// The end of time.
pub(crate) const NEVER: Instant = Instant::from_ms(u64::MAX);

const _: () = assert!(size_of::<Entry>() == 56);
