//! Publishing.

use std::sync::Arc;

use forebay_core::message::Message;
use forebay_wire::amqp::methods::{Arguments, basic};
use forebay_wire::amqp::reply::ReplyCode;
use forebay_wire::amqp::text::ShortStr;
use forebay_wire::amqp::write;

use crate::access::permissions::Right;
use crate::channel::content::Incoming;
use crate::channel::publisher::Outbound;
use crate::channel::transaction::Postponed;
use crate::connection::session::Session;
use crate::exception::{Exception, Result};
use crate::message::incoming::{From, Prepared, Published, prepare};
use crate::message::outgoing;
use crate::message::weight::weight_for;

impl Session {
    /// The method came; its content follows.
    pub(crate) fn publish_method(&mut self, number: u16, publish: &basic::Publish<'_>) -> Result<()> {
        if publish.immediate {
            // Clients look for this very text.
            return Err(Exception::not_implemented("immediate=true"));
        }
        self.channel(number)?.incoming = Some(Incoming::new(publish));
        Ok(())
    }

    /// The content is whole: it goes to its queues, or back.
    pub(crate) async fn publish(&mut self, number: u16, mut published: Published) -> Result<()> {
        let publish = |exception: Exception| exception.of(basic::Publish::ID);
        self.may_use_exchange(Right::Write, &published.exchange).map_err(publish)?;
        let replies = self.channels.get(&number).and_then(|channel| channel.replies.as_ref());
        let from = From { user: &self.user, replies: replies.map(|replies| replies.name.as_str()) };
        let Prepared { headers, message } =
            prepare(&mut published, from, &*self.shared.clock).map_err(publish)?;
        let Published { exchange, key, mandatory, .. } = published;
        let queues = self.vhost.route(&exchange, &key, &headers).await.map_err(publish)?;
        self.send_replies(&exchange, &key, &headers, &message);
        let is_returned = queues.is_empty() && mandatory;
        let allowance = Arc::clone(&self.allowance);
        let channel = self.channel(number)?;
        let (kept, bytes) = (message.weight() + size_of_val(&*queues), weight_for(&message, queues.len()));
        let message = Arc::new(message);
        if let Some(transaction) = &mut channel.transaction {
            let outbound = Outbound { message, bytes, queues, number: None };
            let returned = is_returned.then_some((exchange, key));
            let room = allowance.take(kept).map_err(publish)?;
            transaction.publish(Postponed { outbound, returned, room });
            return Ok(());
        }
        let confirmed = channel.publisher.next_number();
        if is_returned {
            self.give_back_to_publisher(number, &exchange, &key, &message);
        }
        if queues.is_empty() && confirmed.is_none() {
            return Ok(());
        }
        // One that goes nowhere is confirmed in its turn all the same.
        self.push(number, Outbound { message, bytes, queues, number: confirmed })
    }

    /// Sends a message on its way.
    pub(crate) fn push(&mut self, number: u16, outbound: Outbound) -> Result<()> {
        let bytes = outbound.bytes;
        self.channel(number)?.publisher.push(outbound);
        self.publishing = (self.publishing.0 + 1, self.publishing.1 + bytes);
        Ok(())
    }

    /// Returns a message that nobody takes, before it is confirmed.
    pub(crate) fn give_back_to_publisher(
        &mut self,
        number: u16,
        exchange: &str,
        key: &str,
        message: &Message,
    ) {
        let returned = basic::Return {
            reply_code: ReplyCode::NoRoute.number(),
            reply_text: ShortStr::cut(ReplyCode::NoRoute.name()),
            exchange: ShortStr::cut(exchange),
            routing_key: ShortStr::cut(key),
        };
        let content = outgoing::content(message, key);
        let frame_bytes_max = self.frame_bytes_max;
        let frames = self.out.frames();
        write::content(frames, number, &returned, &content.properties, &message.payload, frame_bytes_max);
    }
}
