//! The class exchange.

use forebay_broker::routing::decide::{BindRequest, DeclareRequest, Target};
use forebay_wire::amqp::methods::exchange;

use crate::connection::session::Session;
use crate::exception::{Exception, Result};
use crate::message::headers;

impl Session {
    pub(super) async fn exchange_method(&mut self, number: u16, method: &exchange::Method<'_>) -> Result<()> {
        let vhost = &self.vhost;
        match method {
            exchange::Method::Declare(declare) => {
                self.declare_exchange(declare)?;
                if !declare.nowait {
                    self.send(number, &exchange::DeclareOk {});
                }
            }
            exchange::Method::Delete(delete) => {
                vhost.change(|topology, _| topology.delete(&delete.exchange, delete.if_unused))?;
                if !delete.nowait {
                    self.send(number, &exchange::DeleteOk {});
                }
            }
            exchange::Method::Bind(bind) => {
                let arguments = headers::read(bind.arguments);
                let request = BindRequest {
                    source: &bind.source,
                    target: Target::Exchange(&bind.destination),
                    key: &bind.routing_key,
                    arguments: &arguments,
                };
                vhost.change(|topology, _| topology.bind(&request, |_| None))?;
                if !bind.nowait {
                    self.send(number, &exchange::BindOk {});
                }
            }
            exchange::Method::Unbind(unbind) => {
                let arguments = headers::read(unbind.arguments);
                let request = BindRequest {
                    source: &unbind.source,
                    target: Target::Exchange(&unbind.destination),
                    key: &unbind.routing_key,
                    arguments: &arguments,
                };
                vhost.change(|topology, _| topology.unbind(&request))?;
                if !unbind.nowait {
                    self.send(number, &exchange::UnbindOk {});
                }
            }
            exchange::Method::DeclareOk(_)
            | exchange::Method::DeleteOk(_)
            | exchange::Method::BindOk(_)
            | exchange::Method::UnbindOk(_) => {
                return Err(Exception::command_invalid("unimplemented method"));
            }
        }
        Ok(())
    }

    fn declare_exchange(&self, declare: &exchange::Declare<'_>) -> Result<()> {
        let vhost = &self.vhost;
        if declare.passive {
            return vhost
                .look(|topology, _| topology.exchange(&declare.exchange).map(drop))
                .map_err(Exception::from);
        }
        let arguments = headers::read(declare.arguments);
        let request = DeclareRequest {
            name: &declare.exchange,
            kind: &declare.r#type,
            durable: declare.durable,
            auto_delete: declare.auto_delete,
            internal: declare.internal,
            arguments: &arguments,
        };
        vhost.change(|topology, _| topology.declare(&request))
    }
}
