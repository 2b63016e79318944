//! Reading and writing the stream, over one connection after another.

use std::sync::Arc;

use forebay_core::error::{Error, Kind};
use forebay_core::limits;
use forebay_core::payload::Payload;
use forebay_core::ports::bus::Position;
use forebay_core::ports::bus::tape::Entry;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Confirmation};
use tokio::time::timeout;

use super::{Shared, Writer};
use crate::link::Link;
use crate::link::keep::Keeper;
use crate::link::refusal::Refusal;
use crate::settings::RabbitSettings;

/// What AMQP's property `type` says of a notice.
const NOTICE: &str = "forebay.notice";
/// And of a marker.
const MARKER: &str = "forebay.marker";
/// Where a consumer begins, and which number an entry has.
const OFFSET: &str = "x-stream-offset";
/// AMQP's word for a message that survives a restart.
const PERSISTENT: u8 = 2;

impl Keeper for Shared {
    fn settings(&self) -> &RabbitSettings {
        &self.settings
    }

    fn random(&self) -> u64 {
        self.clock.random()
    }

    fn is_closed(&self) -> bool {
        self.is_closed()
    }

    async fn closed(&self) {
        self.until_closed().await;
    }

    async fn serve(self: Arc<Self>, link: Arc<Link>) {
        if let Err(refusal) = self.read_all(&link).await {
            let said = refusal.said();
            let error = self.refusal(refusal, "read bus");
            tracing::warn!(%error, "rabbitmq: the bus cannot be read");
            *self.refused.lock() = Some((error.kind(), said));
        }
    }

    fn lost(&self) {
        self.writer.send_replace(None);
    }
}

impl Shared {
    /// As an error of the port. The stream is declared before it is used: a server that does not find it has it on a node that
    /// is away, or that has not yet come to it since it was started, in whatever words.
    pub(super) fn refusal(&self, refusal: Refusal, operation: &'static str) -> Error {
        if refusal.is_not_found() {
            return self.error(Kind::Unavailable, operation).because(refusal.said());
        }
        refusal.during(operation, self.settings.address())
    }

    /// Reads until the server sends no more.
    async fn read_all(&self, link: &Arc<Link>) -> Result<(), Refusal> {
        let channel = link.consuming_channel(limits::rabbitmq::BUS_PREFETCH).await?;
        let name = ShortString::try_new(self.stream.clone()).unwrap_or_default();
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        link.ask(channel.queue_declare(name.clone(), durable, stream_arguments())).await?;
        let begin = match self.tape.lock().rejoin() {
            Some(offset) => AMQPValue::LongLongInt(offset.cast_signed()),
            None => AMQPValue::LongString("next".into()),
        };
        let mut arguments = FieldTable::default();
        arguments.insert(OFFSET.into(), begin);
        let consuming =
            channel.basic_consume(name, ShortString::default(), BasicConsumeOptions::default(), arguments);
        let mut entries = link.ask(consuming).await?;
        let writer = Writer { link: link.clone(), channel: link.confirming_channel().await? };
        // It comes back last of all that there is now.
        writer.write(self, self.next_number(), None).await?;
        *self.refused.lock() = None;
        self.writer.send_replace(Some(writer.clone()));
        let (mut count, mut has_asked) = (0_u64, true);
        loop {
            let has_joined = count > 0;
            let patience = if has_joined { limits::rabbitmq::BUS_SILENCE } else { self.settings.wait };
            let next = tokio::select! {
                next = timeout(patience, entries.next()) => next,
                () = self.doubted.notified(), if has_joined => {
                    return Err(Refusal::Away("what was written does not come back"));
                }
            };
            let delivery = match next {
                Ok(Some(delivery)) => delivery?,
                Ok(None) => return Err(Refusal::Away("the server has ended the consumer")),
                Err(_) if has_asked => {
                    if !has_joined {
                        self.tape.lock().lose();
                    }
                    return Err(Refusal::Away("the server sends nothing"));
                }
                Err(_) => {
                    writer.write(self, self.next_number(), None).await?;
                    has_asked = true;
                    continue;
                }
            };
            has_asked = false;
            count += 1;
            if count.is_multiple_of(limits::rabbitmq::BUS_ACK_EVERY) {
                link.ask(delivery.acker.ack(BasicAckOptions { multiple: true })).await?;
            }
            self.take_in(delivery);
        }
    }

    fn take_in(&self, delivery: Delivery) {
        // What has no number is no entry.
        let Some(offset) = offset(&delivery) else { return };
        let id = delivery.properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default();
        let kind = delivery.properties.kind().as_ref().map(ShortString::as_str);
        let is_notice = kind == Some(NOTICE);
        let notice = is_notice.then(|| Payload::from(delivery.data));
        let number = self.own_number(&id);
        let head = {
            let mut tape = self.tape.lock();
            if tape.read(Entry { offset, id, notice }) {
                self.heard.send_replace(());
            }
            tape.head()
        };
        let awaited = number.and_then(|number| self.awaited.lock().remove(&number));
        if let Some(tell) = awaited {
            // Whoever does not wait any more does not get it.
            let _ = tell.send(if is_notice { Position(offset + 1) } else { head });
        }
    }

    fn id(&self, number: u64) -> ShortString {
        ShortString::try_new(format!("{:016x}-{number}", self.life)).unwrap_or_default()
    }

    /// The number of an entry that this bus has written.
    fn own_number(&self, id: &str) -> Option<u64> {
        let (life, number) = id.split_once('-')?;
        let is_ours = u64::from_str_radix(life, 16) == Ok(self.life);
        is_ours.then(|| number.parse().ok())?
    }
}

impl Writer {
    /// Writes an entry. `Ok`: the server has it.
    pub(super) async fn write(
        &self,
        shared: &Shared,
        number: u64,
        notice: Option<Payload>,
    ) -> Result<(), Refusal> {
        let kind = if notice.is_some() { NOTICE } else { MARKER };
        let body = notice.unwrap_or_else(Payload::empty);
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_message_id(shared.id(number))
            .with_type(kind.into());
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let stream = ShortString::try_new(shared.stream.clone()).unwrap_or_default();
        let publish = async {
            self.channel
                .basic_publish(ShortString::default(), stream, options, &body, properties)
                .await?
                .await
        };
        match self.link.ask(publish).await? {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => {
                shared.doubted.notify_waiters();
                Err(Refusal::Away("the stream is gone"))
            }
            Confirmation::Nack(None) | Confirmation::NotRequested => {
                Err(Refusal::Away("the server did not take it"))
            }
        }
    }
}

fn offset(delivery: &Delivery) -> Option<u64> {
    match delivery.properties.headers().as_ref()?.inner().get(OFFSET)? {
        AMQPValue::LongLongInt(offset) => u64::try_from(*offset).ok(),
        AMQPValue::LongInt(offset) => u64::try_from(*offset).ok(),
        _ => None,
    }
}

fn stream_arguments() -> FieldTable {
    let bytes = |bytes: u64| AMQPValue::LongLongInt(bytes.cast_signed());
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("stream".into()));
    arguments.insert("x-max-length-bytes".into(), bytes(limits::rabbitmq::BUS_STREAM_BYTES));
    arguments.insert("x-stream-max-segment-size-bytes".into(), bytes(limits::rabbitmq::BUS_SEGMENT_BYTES));
    arguments
}

#[cfg(test)]
mod tests {
    use forebay_contract::clock::SimClock;

    use forebay_core::ports::bus::tape::Kept;

    use super::*;
    use crate::bus::RabbitBus;

    #[test]
    fn a_stream_that_is_not_found_is_away_and_what_else_is_refused_is_told_as_it_is() {
        let settings = RabbitSettings::parse("amqp://host").unwrap();
        let (bus, _work) = RabbitBus::open(settings, Kept::default(), Arc::new(SimClock::new(1)));
        let refuse =
            |code, said: &str| bus.shared().refusal(Refusal::Said(code, said.to_owned()), "read bus");
        let away = refuse(404, "its home node is down");
        assert_eq!(away.kind(), Kind::Unavailable);
        assert!(away.to_string().contains("its home node is down"), "{away}");
        let starting = "queue 'forebay.bus' in vhost '/' does not have a replica on the local node";
        assert_eq!(refuse(406, starting).kind(), Kind::Unavailable);
        assert_eq!(refuse(406, "inequivalent arg").kind(), Kind::Conflict);
        assert_eq!(refuse(403, "no permission").kind(), Kind::Invalid);
    }
}
