//! The memory for bodies of waiting messages, bounded over all queues together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use forebay_core::message::Message;

use crate::state::entry::Entry;

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
        let add = |sum: usize| sum.checked_add(message.weight()).filter(|sum| *sum <= bytes_max);
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
        if let Some(message) = &body {
            self.bytes.fetch_sub(message.weight(), Relaxed);
        }
        body
    }

    /// What is kept according to the account, and what these entries keep.
    #[cfg(test)]
    pub(crate) fn audit<'a>(&self, entries: impl Iterator<Item = &'a Entry>) -> (usize, usize) {
        let kept = entries.filter_map(|entry| entry.body.as_ref()).map(|message| message.weight()).sum();
        (self.bytes.load(Relaxed), kept)
    }
}

#[cfg(test)]
mod tests {
    use forebay_core::message::Value;
    use forebay_core::queue::QueueName;

    use crate::bench::Bench;

    use super::*;

    #[test]
    fn what_is_kept_counts_as_what_it_takes_in_memory() {
        let bench = Bench::new(1_000);
        let q: QueueName = bench.queue("q");
        let id = forebay_core::message::MessageId::given("m").unwrap();
        let mut message = Message::new(id, "".into());
        (0..100).for_each(|number| message.headers.set(format!("{number}"), Value::Null));
        let weight = message.weight();
        assert!(weight > 100 * size_of::<(String, Value)>());
        bench.publish_all(&q, vec![message]).unwrap();
        assert_eq!(bench.engine().hot.bytes(), weight);
        bench.receive(&q).unwrap();
        assert_eq!(bench.engine().hot.bytes(), 0);
    }
}
