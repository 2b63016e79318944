//! Which frame is whose: frames of a running connection to what carries them out.

use forebay_wire::amqp::frame::{Frame, Payload};
use forebay_wire::amqp::methods::{
    Arguments, Method, Sender, access, basic, channel, confirm, connection, queue, tx,
};
use forebay_wire::amqp::reply::ReplyCode;

use super::connection::unexpected_while_running;
use crate::channel::content::{Step, unexpected};
use crate::channel::state::Channel;
use crate::connection::session::Session;
use crate::exception::{Exception, Result};

impl Session {
    /// True where what the client says now must find done what it has said before, and that is not: what it has published must
    /// be in the queues, and a commit answered.
    pub(crate) fn must_wait(&self, frame: &Frame<'_>) -> bool {
        if self.phase.is_over() {
            return false;
        }
        let is_at_rest = |number: &u16| self.channels.get(number).is_none_or(Channel::is_at_rest);
        match &frame.payload {
            Payload::Method(Method::Connection(connection::Method::Close(_))) => {
                !self.parked.is_empty() || !self.channels.keys().all(is_at_rest)
            }
            Payload::Method(
                Method::Channel(channel::Method::Close(_) | channel::Method::CloseOk(_))
                | Method::Queue(queue::Method::Declare(_) | queue::Method::Purge(_) | queue::Method::Delete(_))
                | Method::Basic(basic::Method::Get(_))
                // What became of it is not the transaction's.
                | Method::Tx(tx::Method::Select(_)),
            ) => !is_at_rest(&frame.channel),
            _ => self.channels.get(&frame.channel).is_some_and(|channel| channel.commit.is_some()),
        }
    }

    /// Carries out a frame of an open connection.
    pub(crate) async fn take_while_running(&mut self, frame: &Frame<'_>) -> Result<()> {
        let number = frame.channel;
        if number == 0 {
            return match &frame.payload {
                Payload::Heartbeat => Ok(()),
                Payload::Method(Method::Connection(method)) => self.connection_method(method),
                Payload::Method(method) => Err(unexpected_while_running().of(method.id())),
                _ => Err(unexpected("content on channel 0")),
            };
        }
        let Some(channel) = self.channels.get_mut(&number) else {
            return match &frame.payload {
                Payload::Method(Method::Channel(channel::Method::Open(_))) => self.open_channel(number),
                // The answer to a close that crossed the client's own.
                Payload::Method(Method::Channel(channel::Method::CloseOk(_))) => Ok(()),
                payload => {
                    let refused = Exception::new(ReplyCode::ChannelError, "expected 'channel.open'");
                    Err(match payload {
                        Payload::Method(method) => refused.of(method.id()),
                        _ => refused,
                    })
                }
            };
        };
        if channel.closing {
            self.channel_closing(number, &frame.payload);
            return Ok(());
        }
        match (&frame.payload, channel.incoming.take()) {
            (Payload::Method(method), None) => {
                let id = method.id();
                self.channel_frame(number, method).await.map_err(|exception| exception.of(id))
            }
            (Payload::Method(_), Some(incoming)) => Err(incoming.interrupted().of(basic::Publish::ID)),
            (Payload::Header(header), Some(incoming)) => {
                let step = incoming.header(header, &self.shared.bodies);
                self.content(number, step).await
            }
            (Payload::Body(piece), Some(incoming)) => self.content(number, incoming.body(piece)).await,
            (Payload::Header(_) | Payload::Body(_), None) => {
                Err(unexpected("expected method frame, got non method frame instead"))
            }
            (Payload::Heartbeat, _) => Err(unexpected("heartbeat on a channel")),
        }
    }

    async fn content(&mut self, number: u16, step: Result<Step>) -> Result<()> {
        match step.map_err(|exception| exception.of(basic::Publish::ID))? {
            Step::More(incoming) => {
                self.channel(number)?.incoming = Some(incoming);
                Ok(())
            }
            Step::Complete(published) => self.publish(number, published).await,
        }
    }

    async fn channel_frame(&mut self, number: u16, method: &Method<'_>) -> Result<()> {
        if method.sender() == Sender::Server {
            return Err(Exception::command_invalid("unimplemented method"));
        }
        match method {
            Method::Channel(method) => self.channel_method(number, method).await,
            Method::Access(access::Method::Request(_)) => {
                self.send(number, &access::RequestOk { ticket: 1 });
                Ok(())
            }
            Method::Exchange(method) => self.exchange_method(number, method).await,
            Method::Queue(method) => self.queue_method(number, method).await,
            Method::Basic(method) => self.basic_method(number, method).await,
            Method::Confirm(confirm::Method::Select(select)) => self.confirm_select(number, *select),
            Method::Tx(method) => self.tx_method(number, method).await,
            Method::Connection(_) | Method::Access(_) | Method::Confirm(_) => {
                Err(Exception::command_invalid("unimplemented method"))
            }
        }
    }

    async fn basic_method(&mut self, number: u16, method: &basic::Method<'_>) -> Result<()> {
        use basic::Method as M;
        match method {
            M::Qos(qos) => self.qos(number, *qos),
            M::Consume(consume) => self.consume(number, consume).await,
            M::Cancel(cancel) => self.cancel(number, cancel).await,
            // A client's answer to a cancel of ours.
            M::CancelOk(_) => Ok(()),
            M::Publish(publish) => self.publish_method(number, publish),
            M::Get(get) => self.get(number, get).await,
            M::Ack(ack) => self.ack(number, *ack),
            M::Reject(reject) => self.reject(number, *reject),
            M::Nack(nack) => self.nack(number, *nack),
            M::Recover(recover) => {
                self.recover(number, recover.requeue)?;
                self.send(number, &basic::RecoverOk {});
                Ok(())
            }
            M::RecoverAsync(recover) => self.recover(number, recover.requeue),
            M::QosOk(_)
            | M::ConsumeOk(_)
            | M::Return(_)
            | M::Deliver(_)
            | M::GetOk(_)
            | M::GetEmpty(_)
            | M::RecoverOk(_) => Err(Exception::command_invalid("unimplemented method")),
        }
    }
}
