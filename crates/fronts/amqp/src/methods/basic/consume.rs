//! Consumers, and how much they may have.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use forebay_core::limits;
use forebay_wire::amqp::methods::basic;
use forebay_wire::amqp::reply::ReplyCode;
use forebay_wire::amqp::text::ShortStr;

use crate::access::permissions::Right;
use crate::connection::session::Session;
use crate::exception::{Exception, Result};
use crate::replies::PSEUDO_QUEUE;
use crate::vhost::arguments::read::priority;

impl Session {
    pub(crate) fn qos(&mut self, number: u16, qos: basic::Qos) -> Result<()> {
        if qos.prefetch_size != 0 {
            let text = format!("prefetch_size!=0 ({})", qos.prefetch_size);
            return Err(Exception::not_implemented(text));
        }
        let consumers = &mut self.channel(number)?.consumers;
        if qos.global {
            consumers.set_shared(qos.prefetch_count);
        } else {
            consumers.set_prefetch(qos.prefetch_count);
        }
        self.send(number, &basic::QosOk {});
        Ok(())
    }

    pub(crate) async fn consume(&mut self, number: u16, consume: &basic::Consume<'_>) -> Result<()> {
        let given;
        let tag = if consume.consumer_tag.is_empty() {
            let octets = [self.shared.clock.random(), self.shared.clock.random()].map(u64::to_be_bytes);
            given = format!("amq.ctag-{}", URL_SAFE_NO_PAD.encode(octets.concat()));
            &given
        } else {
            consume.consumer_tag.as_str()
        };
        if consume.queue.as_str() == PSEUDO_QUEUE {
            self.consume_replies(number, tag, consume.no_ack)?;
            if !consume.nowait {
                self.send(number, &basic::ConsumeOk { consumer_tag: ShortStr::cut(tag) });
            }
            return Ok(());
        }
        self.may_use(Right::Read, self.named(number, &consume.queue))?;
        let queue = self.queue(number, &consume.queue).await?;
        let priority = priority(consume.arguments, &self.vhost.place(queue.name.as_str()))?;
        let consumers = &self.channel(number)?.consumers;
        if consumers.contains(tag) {
            let text = format!("attempt to reuse consumer tag '{tag}'");
            return Err(Exception::new(ReplyCode::NotAllowed, text));
        }
        if consumers.len() >= limits::amqp::CONSUMERS_MAX {
            let text = format!("channel has {} consumers, and may have no more", limits::amqp::CONSUMERS_MAX);
            return Err(Exception::precondition(text));
        }
        queue.add_consumer(consume.exclusive, &self.vhost.name)?;
        let consumer = self.next_number();
        let seat = queue.turns.join(priority);
        self.channel(number)?.consumers.add(tag, consumer, queue, consume.no_ack, seat);
        if !consume.nowait {
            self.send(number, &basic::ConsumeOk { consumer_tag: ShortStr::cut(tag) });
        }
        Ok(())
    }

    /// What the consumer has is still the channel's to settle.
    pub(crate) async fn cancel(&mut self, number: u16, cancel: &basic::Cancel<'_>) -> Result<()> {
        let channel = self.channel(number)?;
        channel.replies.take_if(|replies| replies.tag == cancel.consumer_tag.as_str());
        let consumer = channel.consumers.remove(&cancel.consumer_tag);
        if let Some(consumer) = consumer {
            self.consumer_left(consumer).await;
        }
        if !cancel.nowait {
            self.send(number, &basic::CancelOk { consumer_tag: cancel.consumer_tag });
        }
        Ok(())
    }
}
