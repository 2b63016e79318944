//! A message of Kafka's that lies in this process, unsettled.

use std::sync::Arc;

use forebay_core::message::Message;
use forebay_envelope::envelope::Envelope;

use super::contiguous::Offset;
use super::names::Lane;

/// A partition of one of a queue's topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Source {
    pub(crate) lane: Lane,
    pub(crate) partition: i32,
}

/// Lower ones go first: by the time at which they were put there, which never goes back within a partition.
pub(crate) type Place = (u64, i32, Offset);

/// A message, and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) envelope: Envelope,
    /// Where in its queue it was first, if it was put there again: a replay tells of it once.
    pub(crate) origin: Option<Offset>,
    pub(crate) source: Source,
    pub(crate) offset: Offset,
    pub(crate) place: Place,
    /// Counted over all that came to this process.
    pub(crate) number: u64,
    /// An attempt has failed, and it waits, or waited, for the next one in its place.
    pub(crate) tried: bool,
    /// What it takes of this process's memory, about.
    pub(crate) bytes: usize,
}

impl Letter {
    pub(crate) fn message(&self) -> &Arc<Message> {
        &self.envelope.message
    }

    /// Its key, if it has one.
    pub(crate) fn key(&self) -> Option<&str> {
        self.envelope.message.key.as_deref()
    }

    /// Where it was first in the topic that is replayed.
    pub(crate) fn first(&self) -> Option<Offset> {
        self.origin.or((self.source.lane == Lane::Main).then_some(self.offset))
    }

    /// From where to where it is gone from that topic when it is finished.
    pub(crate) fn gone(&self) -> Option<(Offset, Offset)> {
        self.first().map(|at| (at, at.saturating_add(1)))
    }

    /// As it is put into its queue again, and where it was first.
    pub(crate) fn again(&self) -> (Envelope, Option<Offset>) {
        // What waits from the beginning is in no topic that is replayed.
        (self.envelope.clone(), Some(self.first().unwrap_or(-1)))
    }
}

#[cfg(test)]
mod tests {
    use forebay_core::message::MessageId;
    use forebay_core::time::Instant;

    use super::*;

    fn letter(lane: Lane, offset: Offset, origin: Option<Offset>) -> Letter {
        let now = Instant::from_ms(1);
        let envelope = Envelope::new(Message::new(MessageId::given("m").unwrap(), "".into()), now);
        let source = Source { lane, partition: 0 };
        Letter { envelope, origin, source, offset, place: (0, 0, offset), number: 0, tried: false, bytes: 0 }
    }

    #[test]
    fn what_is_put_again_says_where_it_was_first() {
        assert_eq!(letter(Lane::Main, 7, None).again().1, Some(7));
        assert_eq!(letter(Lane::Main, 7, Some(3)).again().1, Some(3));
        assert_eq!(letter(Lane::Wait, 7, None).again().1, Some(-1), "it was in no topic that is replayed");
    }

    #[test]
    fn what_is_gone_is_where_it_was_first_whatever_a_message_says_of_that() {
        assert_eq!(letter(Lane::Main, 7, None).gone(), Some((7, 8)));
        assert_eq!(letter(Lane::Wait, 7, None).gone(), None);
        assert_eq!(letter(Lane::Main, 7, Some(i64::MAX)).gone(), Some((i64::MAX, i64::MAX)));
    }
}
