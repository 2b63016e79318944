//! Publishing.

use forebay_core::message::Message;
use forebay_wire::amqp::methods::{Arguments, basic};
use forebay_wire::amqp::reply::ReplyCode;
use forebay_wire::amqp::text::ShortStr;
use forebay_wire::amqp::write;

use crate::channel::content::Incoming;
use crate::channel::publisher::Outbound;
use crate::connection::session::Session;
use crate::exception::{Exception, Result};
use crate::message::incoming::{Prepared, Published, prepare};
use crate::message::outgoing;

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
        let Prepared { headers, message } =
            prepare(&mut published, &self.user, &*self.shared.clock).map_err(publish)?;
        let Published { exchange, key, mandatory, .. } = published;
        let queues = self.shared.vhost.route(&exchange, &key, &headers).await.map_err(publish)?;
        if queues.is_empty() && mandatory {
            self.give_back_to_publisher(number, &exchange, &key, &message);
        }
        let (at, bytes) = (self.now(), message.payload.len());
        let publisher = &mut self.channel(number)?.publisher;
        let confirmed = publisher.next_number();
        if queues.is_empty() && confirmed.is_none() {
            return Ok(());
        }
        // One that goes nowhere is confirmed in its turn all the same.
        publisher.push(Outbound { message, queues, at, number: confirmed });
        self.publishing = (self.publishing.0 + 1, self.publishing.1 + bytes);
        Ok(())
    }

    /// Returns a message that nobody takes, before it is confirmed.
    fn give_back_to_publisher(&mut self, number: u16, exchange: &str, key: &str, message: &Message) {
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
