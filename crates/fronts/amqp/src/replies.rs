//! Replies that go straight from the connection that publishes them to the channel that asked, through no queue.
//!
//! They are kept nowhere: where the asker has gone, or has so many waiting that it does not read, a reply is lost, as with
//! RabbitMQ. Whoever asks waits with a limit of its own.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use forebay_core::limits;
use forebay_core::message::Message;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The name that stands for the channel that says it.
pub(crate) const PSEUDO_QUEUE: &str = "amq.rabbitmq.reply-to";

/// Whether replies to this name go straight to a channel.
pub(crate) fn is_direct(queue: &str) -> bool {
    queue.strip_prefix(PSEUDO_QUEUE).is_some_and(|rest| rest.starts_with('.'))
}

/// A reply on its way.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// The channel that asked, and its generation.
    pub(crate) channel: (u16, u64),
    pub(crate) exchange: String,
    pub(crate) key: String,
    pub(crate) message: Message,
    /// Memory that it takes.
    bytes: usize,
}

/// Replies to one connection that it has not yet passed on.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    waiting: Mutex<Waiting>,
    arrival: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    replies: VecDeque<Reply>,
    bytes: usize,
}

impl Mailbox {
    /// Puts a reply in; false where there are too many.
    fn put(&self, reply: Reply) -> bool {
        let mut waiting = self.waiting.lock();
        let bytes = waiting.bytes + reply.bytes;
        let is_over = !waiting.replies.is_empty() && bytes > limits::amqp::REPLIES_BYTES_MAX;
        if is_over || waiting.replies.len() >= limits::amqp::REPLIES_MAX {
            return false;
        }
        waiting.bytes = bytes;
        waiting.replies.push_back(reply);
        self.arrival.notify_one();
        true
    }

    /// Waits for the next reply.
    pub(crate) async fn next(&self) -> Reply {
        loop {
            if let Some(reply) = self.take() {
                return reply;
            }
            self.arrival.notified().await;
        }
    }

    fn take(&self) -> Option<Reply> {
        let mut waiting = self.waiting.lock();
        let reply = waiting.replies.pop_front()?;
        waiting.bytes = waiting.bytes.saturating_sub(reply.bytes);
        Some(reply)
    }
}

/// Who waits for replies, over all connections, by the names that they are sent to.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    askers: Mutex<HashMap<String, Asker>>,
}

#[derive(Clone, Debug)]
struct Asker {
    mailbox: Arc<Mailbox>,
    channel: (u16, u64),
}

impl Replies {
    /// A channel waits for replies from now on. `random` is what makes its name one that nobody guesses.
    pub(crate) fn enlist(
        self: &Arc<Self>,
        tag: &str,
        mailbox: &Arc<Mailbox>,
        channel: (u16, u64),
        random: [u64; 2],
    ) -> ReplyTo {
        let octets = random.map(u64::to_be_bytes).concat();
        let name = format!("{PSEUDO_QUEUE}.{}", URL_SAFE_NO_PAD.encode(octets));
        self.askers.lock().insert(name.clone(), Asker { mailbox: Arc::clone(mailbox), channel });
        ReplyTo { tag: tag.to_owned(), name, replies: Arc::clone(self) }
    }

    /// Whether somebody waits for replies to this name.
    pub(crate) fn is_there(&self, name: &str) -> bool {
        self.askers.lock().contains_key(name)
    }

    /// Sends the reply that was published with this key, if somebody waits for it.
    pub(crate) fn send(&self, exchange: &str, key: &str, name: &str, message: &Message) {
        let Some(Asker { mailbox, channel }) = self.askers.lock().get(name).cloned() else { return };
        let (exchange, key) = (exchange.to_owned(), key.to_owned());
        let bytes = message.weight();
        if !mailbox.put(Reply { channel, exchange, key, message: message.clone(), bytes }) {
            tracing::warn!("amqp reply dropped: the connection that asked does not take what waits for it");
        }
    }
}

/// A channel that waits for replies; it does so until this is dropped.
#[derive(Debug)]
pub(crate) struct ReplyTo {
    /// Its consumer's tag.
    pub(crate) tag: String,
    /// Where replies are sent to.
    pub(crate) name: String,
    replies: Arc<Replies>,
}

impl Drop for ReplyTo {
    fn drop(&mut self) {
        self.replies.askers.lock().remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use forebay_core::message::{MessageId, Value};
    use futures_util::future::FutureExt;

    use super::*;

    fn message(bytes: usize) -> Message {
        Message::new(MessageId::given("m").unwrap(), vec![0; bytes].into())
    }

    #[test]
    fn a_reply_reaches_who_asked_for_as_long_as_it_waits() {
        let (replies, mailbox) = (Arc::new(Replies::default()), Arc::new(Mailbox::default()));
        let asker = replies.enlist("tag", &mailbox, (3, 7), [1, 2]);
        assert!(is_direct(&asker.name) && !is_direct(PSEUDO_QUEUE));
        replies.send("", &asker.name, &asker.name, &message(1));
        assert_eq!(mailbox.next().now_or_never().unwrap().channel, (3, 7));
        assert!(mailbox.next().now_or_never().is_none());
        let name = asker.name.clone();
        drop(asker);
        assert!(!replies.is_there(&name));
        replies.send("", &name, &name, &message(1));
        assert!(mailbox.next().now_or_never().is_none());
    }

    #[test]
    fn a_mailbox_at_its_bounds_takes_no_more_until_it_is_emptied() {
        let (replies, mailbox) = (Arc::new(Replies::default()), Arc::new(Mailbox::default()));
        let asker = replies.enlist("tag", &mailbox, (1, 1), [0, 0]);
        let send = |bytes| replies.send("", &asker.name, &asker.name, &message(bytes));
        let count = || std::iter::from_fn(|| mailbox.next().now_or_never()).count();
        send(limits::amqp::REPLIES_BYTES_MAX + 1);
        send(1);
        assert_eq!(count(), 1, "the first one always has room");
        (0..=limits::amqp::REPLIES_MAX).for_each(|_| send(0));
        assert_eq!(count(), limits::amqp::REPLIES_MAX);
        let mut with_header = message(0);
        with_header.headers.set("h", Value::Bytes(vec![0; limits::amqp::REPLIES_BYTES_MAX]));
        send(0);
        replies.send("", &asker.name, &asker.name, &with_header);
        assert_eq!(count(), 1, "headers count, too");
    }
}
