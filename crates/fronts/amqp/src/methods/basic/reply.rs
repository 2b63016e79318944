//! Replies that come straight to a channel.

use std::sync::Arc;

use forebay_core::message::{Headers, Message};
use forebay_wire::amqp::methods::basic;
use forebay_wire::amqp::text::ShortStr;
use forebay_wire::amqp::write;

use crate::connection::session::Session;
use crate::exception::{Exception, Result};
use crate::message::incoming::copies;
use crate::message::outgoing;
use crate::replies::{Reply, is_direct};

impl Session {
    /// The channel waits for replies under this tag.
    pub(super) fn consume_replies(&mut self, number: u16, tag: &str, no_ack: bool) -> Result<()> {
        if !no_ack {
            return Err(Exception::precondition("reply consumer cannot acknowledge"));
        }
        let (replies, clock) = (Arc::clone(&self.shared.replies), Arc::clone(&self.shared.clock));
        let mailbox = Arc::clone(&self.mailbox);
        let channel = self.channel(number)?;
        if channel.replies.is_some() {
            return Err(Exception::precondition("reply consumer already set"));
        }
        let random = [clock.random(), clock.random()];
        channel.replies = Some(replies.enlist(tag, &mailbox, (number, channel.generation), random));
        Ok(())
    }

    /// Sends a message on to those who wait for it as a reply.
    pub(super) fn send_replies(&self, exchange: &str, key: &str, headers: &Headers, message: &Message) {
        if !exchange.is_empty() {
            return;
        }
        let names = std::iter::once(key).chain(copies(headers)).filter(|name| is_direct(name));
        names.for_each(|name| self.shared.replies.send(exchange, key, name, message));
    }

    /// Passes on a reply, if the channel that asked is still there.
    pub(crate) fn replied(&mut self, reply: &Reply) {
        let Reply { channel: (number, generation), exchange, key, message, .. } = reply;
        let Some(channel) = self.channels.get(number).filter(|channel| channel.generation == *generation)
        else {
            return;
        };
        let Some(replies) = channel.replies.as_ref().filter(|_| !channel.closing) else { return };
        let outgoing::Content { properties, .. } = outgoing::content(message, key);
        let method = basic::Deliver {
            consumer_tag: ShortStr::cut(&replies.tag),
            delivery_tag: channel.unsettled.coming_tag(),
            redelivered: false,
            exchange: ShortStr::cut(exchange),
            routing_key: ShortStr::cut(key),
        };
        let frames = self.out.frames();
        write::content(frames, *number, &method, &properties, &message.payload, self.frame_bytes_max);
    }
}
