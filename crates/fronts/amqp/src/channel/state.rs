//! One channel as a whole.

use std::sync::Arc;

use super::consumers::Consumers;
use super::content::Incoming;
use super::publisher::Publisher;
use super::unsettled::Unsettled;
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
}
