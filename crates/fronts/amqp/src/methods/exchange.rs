//! The class exchange.

use std::sync::Arc;

use forebay_broker::routing::decide::{BindRequest, DeclareRequest, Target};
use forebay_core::message::Value;
use forebay_wire::amqp::methods::exchange;

use crate::access::permissions::Right;
use crate::connection::session::Session;
use crate::exception::{Exception, Result};
use crate::message::headers;

/// The argument that names where a message goes that has no other way.
const ALTERNATE: &str = "alternate-exchange";

impl Session {
    pub(super) async fn exchange_method(&mut self, number: u16, method: &exchange::Method<'_>) -> Result<()> {
        let vhost = Arc::clone(&self.vhost);
        match method {
            exchange::Method::Declare(declare) => {
                self.declare_exchange(declare).await?;
                if !declare.nowait {
                    self.send(number, &exchange::DeclareOk {});
                }
            }
            exchange::Method::Delete(delete) => {
                self.may_use_exchange(Right::Configure, &delete.exchange)?;
                vhost.change(|topology| topology.delete(&delete.exchange, delete.if_unused)).await?;
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
                self.may_use_exchange(Right::Write, &bind.destination)?;
                self.may_use_exchange(Right::Read, &bind.source)?;
                vhost.change(|topology| topology.bind(&request, |_| None)).await?;
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
                self.may_use_exchange(Right::Write, &unbind.destination)?;
                self.may_use_exchange(Right::Read, &unbind.source)?;
                vhost.change(|topology| topology.unbind(&request)).await?;
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

    async fn declare_exchange(&mut self, declare: &exchange::Declare<'_>) -> Result<()> {
        let vhost = Arc::clone(&self.vhost);
        if declare.passive {
            return vhost
                .look(|topology| topology.exchange(&declare.exchange).map(drop))
                .map_err(Exception::from);
        }
        self.may_use_exchange(Right::Configure, &declare.exchange)?;
        let arguments = headers::read(declare.arguments);
        if let Some(Value::Text(alternate)) = arguments.get(ALTERNATE) {
            self.may_use_exchange(Right::Read, &declare.exchange)?;
            self.may_use_exchange(Right::Write, alternate)?;
        }
        let request = DeclareRequest {
            name: &declare.exchange,
            kind: &declare.r#type,
            durable: declare.durable,
            auto_delete: declare.auto_delete,
            internal: declare.internal,
            arguments: &arguments,
        };
        vhost.change(|topology| topology.declare(&request)).await
    }
}
