//! One channel as a whole.

use std::sync::Arc;

use super::consumers::Consumers;
use super::content::Incoming;
use super::publisher::Publisher;
use super::transaction::Transaction;
use super::unsettled::Unsettled;
use crate::replies::ReplyTo;
use crate::vhost::queue::Queue;

/// One channel.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    /// Tells it from those that had its number before.
    pub(crate) generation: u64,
    /// It was closed from here, and all but the client's answer is passed over.
    pub(crate) closing: bool,
    /// A content that is coming.
    pub(crate) incoming: Option<Incoming>,
    /// The queue declared last, for which an empty name stands.
    pub(crate) last_queue: Option<Arc<Queue>>,
    pub(crate) consumers: Consumers,
    pub(crate) unsettled: Unsettled,
    pub(crate) publisher: Publisher,
    /// What waits for a commit, on a channel that has transactions.
    pub(crate) transaction: Option<Transaction>,
    /// Its commit waits for its messages to arrive, and all else on the channel for the commit.
    pub(crate) is_committing: bool,
    /// The consumer of replies that come straight to it.
    pub(crate) replies: Option<ReplyTo>,
}

impl Channel {
    /// Deliveries that are not settled for good.
    pub(crate) fn held_len(&self) -> usize {
        self.unsettled.len() + self.transaction.as_ref().map_or(0, Transaction::held_len)
    }
}
