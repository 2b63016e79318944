//! Deliveries of a channel that its client has not settled, by their tags.

use std::collections::BTreeMap;
use std::sync::Arc;

use forebay_core::delivery::DeliveryId;
use forebay_core::time::Instant;

use crate::exception::{Exception, Result};
use crate::vhost::queue::Queue;

/// A delivery in the client's hands.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) tag: u64,
    pub(crate) queue: Arc<Queue>,
    pub(crate) id: DeliveryId,
    /// The consumer it went to; one that was asked for went to none.
    pub(crate) consumer: Option<u64>,
    /// 1 for the first.
    pub(crate) attempt: u32,
    /// When it went out.
    pub(crate) at: Instant,
    /// Where it ends in all that the connection has to send.
    pub(crate) ends_at: u64,
}

impl Held {
    /// When it has been kept for too long, where its queue has such a time.
    pub(crate) fn overdue_at(&self) -> Option<Instant> {
        Some(self.at + self.queue.asked.consumer_timeout?)
    }
}

/// What the client says of deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They are done.
    Acked,
    /// They are to go back into their queues.
    Requeued,
    /// Nobody is to get them again from where they came.
    Rejected,
}

/// Which deliveries are settled by one word of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tags {
    pub(crate) last: u64,
    /// All up to it; 0 is all there are.
    pub(crate) multiple: bool,
}

/// The deliveries.
#[derive(Debug, Default)]
pub(crate) struct Unsettled {
    last: u64,
    held: BTreeMap<u64, Held>,
}

impl Unsettled {
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// The tag of the next delivery.
    pub(crate) fn next_tag(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The tag that the next delivery will have.
    pub(crate) fn coming_tag(&self) -> u64 {
        self.last + 1
    }

    /// A delivery went out, or came back into the client's hands, and is to be settled.
    pub(crate) fn hold(&mut self, held: Held) {
        self.held.insert(held.tag, held);
    }

    /// The one that is overdue before all others.
    pub(crate) fn first_overdue(&self) -> Option<&Held> {
        let timed = self.held.values().filter(|held| held.overdue_at().is_some());
        timed.min_by_key(|held| held.overdue_at())
    }

    /// Takes out what is settled, the oldest first.
    pub(crate) fn take(&mut self, tags: Tags) -> Result<Vec<Held>> {
        let Tags { last, multiple } = tags;
        let unknown = || Exception::precondition(format!("unknown delivery tag {last}"));
        if !multiple {
            return self.held.remove(&last).map(|held| vec![held]).ok_or_else(unknown);
        }
        if last == 0 {
            return Ok(self.take_all());
        }
        // RabbitMQ refuses a tag that is not held also where older ones are.
        if !self.held.contains_key(&last) {
            return Err(unknown());
        }
        let later = self.held.split_off(&(last.saturating_add(1)));
        let settled = std::mem::replace(&mut self.held, later);
        Ok(settled.into_values().collect())
    }

    /// Takes out all, the oldest first.
    pub(crate) fn take_all(&mut self) -> Vec<Held> {
        std::mem::take(&mut self.held).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use forebay_core::queue::QueueName;

    use super::*;

    fn held(count: u64) -> Unsettled {
        let mut unsettled = Unsettled::default();
        let name = QueueName::new("q").unwrap();
        let queue = Queue::found(1, name.clone(), name, Instant::from_ms(0));
        for position in 0..count {
            let tag = unsettled.next_tag();
            let (id, queue) = (DeliveryId { position, token: 0 }, Arc::clone(&queue));
            let (at, ends_at) = (Instant::from_ms(0), 0);
            unsettled.hold(Held { tag, queue, id, consumer: None, attempt: 1, at, ends_at });
        }
        unsettled
    }

    fn positions(taken: Result<Vec<Held>>) -> Vec<u64> {
        taken.unwrap().iter().map(|held| held.id.position).collect()
    }

    #[test]
    fn one_tag_settles_one_delivery_and_multiple_all_before_it() {
        let mut unsettled = held(5);
        assert_eq!(positions(unsettled.take(Tags { last: 2, multiple: false })), [1]);
        assert_eq!(positions(unsettled.take(Tags { last: 4, multiple: true })), [0, 2, 3]);
        assert_eq!(positions(unsettled.take(Tags { last: 0, multiple: true })), [4]);
        assert_eq!(positions(unsettled.take(Tags { last: 0, multiple: true })), [0_u64; 0]);
    }

    #[test]
    fn a_tag_that_is_not_held_is_refused() {
        let mut unsettled = held(2);
        for tags in [
            Tags { last: 3, multiple: false },
            Tags { last: 0, multiple: false },
            Tags { last: 3, multiple: true },
        ] {
            let refused = unsettled.take(tags).unwrap_err();
            assert_eq!(
                refused.to_string(),
                format!("PRECONDITION_FAILED - unknown delivery tag {}", tags.last)
            );
        }
        assert_eq!(unsettled.len(), 2);
    }
}
