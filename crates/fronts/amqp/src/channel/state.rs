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
    /// How far its commit is; all else on the channel waits for that.
    pub(crate) commit: Option<Commit>,
    /// The consumer of replies that come straight to it.
    pub(crate) replies: Option<ReplyTo>,
}

/// How far a commit is that was not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    /// Its messages have not all arrived.
    Publishing,
    /// What it settles is on its way into the log.
    Settling,
}

impl Channel {
    /// True where nothing is on its way that was said on it before.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.publisher.is_done() && self.commit.is_none()
    }

    /// Deliveries that are not settled for good.
    pub(crate) fn held_len(&self) -> usize {
        self.unsettled.len() + self.transaction.as_ref().map_or(0, Transaction::held_len)
    }
}
