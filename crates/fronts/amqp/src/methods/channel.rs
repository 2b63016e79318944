//! The class channel.

use forebay_wire::amqp::frame::Payload;
use forebay_wire::amqp::methods::{Method, channel};
use forebay_wire::amqp::reply::ReplyCode;

use crate::channel::state::Channel;
use crate::connection::session::Session;
use crate::exception::{Exception, Result};

impl Session {
    pub(super) fn open_channel(&mut self, number: u16) -> Result<()> {
        let (open, allowed) = (self.channels.len(), self.channels_max);
        if open >= usize::from(allowed) || number > allowed {
            let text = format!(
                "number of channels opened ({open}) has reached the negotiated channel_max ({allowed})"
            );
            return Err(Exception::new(ReplyCode::NotAllowed, text));
        }
        let generation = self.next_number();
        self.channels.insert(number, Channel { generation, ..Channel::default() });
        self.send(number, &channel::OpenOk { channel_id: &[] });
        Ok(())
    }

    pub(super) async fn channel_method(&mut self, number: u16, method: &channel::Method<'_>) -> Result<()> {
        match method {
            channel::Method::Open(_) => {
                Err(Exception::new(ReplyCode::ChannelError, "second 'channel.open' seen"))
            }
            channel::Method::Close(_) => {
                self.release(number).await;
                self.channels.remove(&number);
                self.send(number, &channel::CloseOk {});
                Ok(())
            }
            channel::Method::Flow(channel::Flow { active: true }) => {
                self.send(number, &channel::FlowOk { active: true });
                Ok(())
            }
            // As with RabbitMQ: `basic.qos` is how a client is given less.
            channel::Method::Flow(_) => Err(Exception::not_implemented("active=false")),
            // Answers to what was not asked, or was and no longer matters.
            channel::Method::FlowOk(_) | channel::Method::CloseOk(_) => Ok(()),
            channel::Method::OpenOk(_) => Err(Exception::command_invalid("unimplemented method")),
        }
    }

    /// A channel that was closed from here hears nothing but the end.
    pub(super) fn channel_closing(&mut self, number: u16, payload: &Payload<'_>) {
        let Payload::Method(Method::Channel(method)) = payload else { return };
        match method {
            channel::Method::CloseOk(_) => drop(self.channels.remove(&number)),
            channel::Method::Close(_) => self.send(number, &channel::CloseOk {}),
            _ => {}
        }
    }
}
