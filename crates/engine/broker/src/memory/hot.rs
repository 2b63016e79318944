//! The memory for bodies of waiting messages, bounded over all queues together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use forebay_core::message::Message;

use crate::state::entry::Entry;
use crate::storage::journal::Stored;

/// What a message takes in memory beside its encoded bytes, roughly.
const OVERHEAD_BYTES: usize = 256;

/// How many bytes of bodies are kept.
#[derive(Debug)]
pub(crate) struct Hot {
    bytes: AtomicUsize,
    bytes_max: AtomicUsize,
}

impl Hot {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes: AtomicUsize::new(0), bytes_max: AtomicUsize::new(bytes_max) }
    }

    /// Keeps the message with its entry if there is room. What is not kept is read from the log when it is delivered;
    /// the log serves also what is not durable yet.
    pub(crate) fn keep(&self, entry: &mut Entry, message: Arc<Message>) {
        let bytes_max = self.bytes_max.load(Relaxed);
        let add = |sum: usize| sum.checked_add(weight(entry.stored())).filter(|sum| *sum <= bytes_max);
        if self.bytes.fetch_update(Relaxed, Relaxed, add).is_ok() {
            entry.body = Some(message);
        }
    }

    /// How many bytes are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// How many bytes may be kept from now on. What is kept beyond it is for the caller to take.
    pub(crate) fn limit(&self, bytes_max: usize) {
        self.bytes_max.store(bytes_max, Relaxed);
    }

    /// Whether more is kept than may be.
    pub(crate) fn is_over(&self) -> bool {
        self.bytes() > self.bytes_max.load(Relaxed)
    }

    /// Takes the message from its entry, if it was kept.
    pub(crate) fn take(&self, entry: &mut Entry) -> Option<Arc<Message>> {
        let body = entry.body.take();
        if body.is_some() {
            self.bytes.fetch_sub(weight(entry.stored()), Relaxed);
        }
        body
    }

    /// The entry's body lies elsewhere in the log from now on, and takes another number of bytes there.
    pub(crate) fn carried(&self, entry: &mut Entry, to: Stored) {
        if entry.body.is_some() {
            self.bytes.fetch_add(weight(to), Relaxed);
            self.bytes.fetch_sub(weight(entry.stored()), Relaxed);
        }
        entry.carried(to);
    }

    /// What is kept according to the account, and what these entries keep.
    #[cfg(test)]
    pub(crate) fn audit<'a>(&self, entries: impl Iterator<Item = &'a Entry>) -> (usize, usize) {
        let kept = entries.filter(|entry| entry.body.is_some()).map(|entry| weight(entry.stored())).sum();
        (self.bytes.load(Relaxed), kept)
    }
}

fn weight(stored: Stored) -> usize {
    stored.bytes as usize + OVERHEAD_BYTES
}
