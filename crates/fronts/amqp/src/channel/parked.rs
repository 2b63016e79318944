//! Frames of channels that must wait for what was published before them, while those of other channels are carried out.

use std::collections::{BTreeMap, VecDeque};

use forebay_core::limits;

/// The frames of one connection that wait, in the order in which they came on their channels.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    /// No channel is there without a frame.
    by_channel: BTreeMap<u16, VecDeque<Box<[u8]>>>,
    frames: usize,
    bytes: usize,
}

impl Parked {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_channel.is_empty()
    }

    /// Whether a frame of the channel waits: then all that come after it do.
    pub(crate) fn has(&self, channel: u16) -> bool {
        self.by_channel.contains_key(&channel)
    }

    /// True where no more may wait here.
    pub(crate) fn is_full(&self) -> bool {
        self.frames >= limits::amqp::PARKED_FRAMES_MAX || self.bytes >= limits::amqp::PARKED_BYTES_MAX
    }

    /// Lets the frame wait, behind those of its channel that do.
    pub(crate) fn push(&mut self, channel: u16, frame: &[u8]) {
        self.count(frame.len());
        self.by_channel.entry(channel).or_default().push_back(frame.into());
    }

    /// The channels of which frames wait.
    pub(crate) fn channels(&self) -> Vec<u16> {
        self.by_channel.keys().copied().collect()
    }

    /// Takes out the first frame of the channel.
    pub(crate) fn take(&mut self, channel: u16) -> Option<Box<[u8]>> {
        let frames = self.by_channel.get_mut(&channel)?;
        let frame = frames.pop_front()?;
        if frames.is_empty() {
            self.by_channel.remove(&channel);
        }
        self.frames -= 1;
        self.bytes -= frame.len();
        Some(frame)
    }

    /// Lets a frame that was taken out wait again, before all others of its channel.
    pub(crate) fn put_back(&mut self, channel: u16, frame: Box<[u8]>) {
        self.count(frame.len());
        self.by_channel.entry(channel).or_default().push_front(frame);
    }

    fn count(&mut self, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use forebay_wire::amqp::methods::{queue, tx};

    use super::*;
    use crate::bench::{Bench, declare};

    #[test]
    fn frames_wait_in_the_order_of_their_channel_up_to_a_number_and_a_size() {
        let mut parked = Parked::default();
        parked.push(1, b"a");
        parked.push(1, b"b");
        let first = parked.take(1).unwrap();
        parked.put_back(1, first);
        assert_eq!([parked.take(1), parked.take(1)].map(Option::unwrap), [(*b"a").into(), (*b"b").into()]);
        assert!(parked.is_empty() && !parked.has(1));
        for frame in 0..limits::amqp::PARKED_FRAMES_MAX {
            assert!(!parked.is_full());
            parked.push(u16::try_from(frame % 7).unwrap(), b"x");
        }
        assert!(parked.is_full());
        assert!(parked.take(3).is_some() && !parked.is_full());
        parked.push(3, &vec![0; limits::amqp::PARKED_BYTES_MAX]);
        assert!(parked.take(3).is_some() && parked.is_full());
    }

    #[tokio::test]
    async fn a_frame_that_waits_lets_the_acks_of_other_channels_go_on() {
        let bench = Bench::new();
        bench.queue_that_waits_at("small", 1).await;
        let mut client = bench.connect(2).await;
        client.publish(2, "", "small", b"first").await;
        client.consume(2, "small").await;
        let tag = client.delivery(2).await;
        // The queue is at its length until the delivery is settled.
        client.publish(1, "", "small", b"second").await;
        client.say(1, &declare("other")).await;
        client.say(1, &declare("another")).await;
        client.ack(2, tag).await;
        bench.pass(limits::BROKER_PAUSE).await;
        client.delivery(2).await;
        let declared = |octets: Vec<u8>| String::from_utf8_lossy(&octets).contains("another");
        assert!(!declared(client.expect::<queue::DeclareOk<'_>>(1).await));
        assert!(declared(client.expect::<queue::DeclareOk<'_>>(1).await));
    }

    #[tokio::test]
    async fn a_connection_whose_frames_wait_is_read_up_to_a_bound_and_on_when_they_go() {
        let bench = Bench::new();
        bench.queue_that_waits_at("q", 10).await;
        let mut client = bench.connect(1).await;
        bench.hold_log(true);
        client.publish(1, "", "q", b"m").await;
        client.say(1, &declare("other")).await;
        let many = 2 * limits::amqp::PARKED_FRAMES_MAX;
        let mut frames = Vec::new();
        (0..many).for_each(|_| forebay_wire::amqp::write::method(&mut frames, 1, &tx::Select {}));
        assert!(client.says_only_some_of(&frames).await);
        bench.hold_log(false);
        client.say_rest().await;
        client.expect::<queue::DeclareOk<'_>>(1).await;
        for _ in 0..many {
            client.expect::<tx::SelectOk>(1).await;
        }
    }
}
