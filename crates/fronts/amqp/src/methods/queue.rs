//! The class queue.

use std::sync::Arc;

use forebay_broker::routing::decide::{BindRequest, Target};
use forebay_core::ports::broker::BrokerAdmin;
use forebay_core::queue::QueueName;
use forebay_wire::amqp::methods::queue;
use forebay_wire::amqp::reply::ReplyCode;
use forebay_wire::amqp::table::Value;
use forebay_wire::amqp::text::ShortStr;

use crate::access::permissions::Right;
use crate::connection::session::Session;
use crate::exception::{Exception, Result};
use crate::message::headers;
use crate::replies::{PSEUDO_QUEUE, is_direct};
use crate::vhost::declare::{DeclareRequest, OnlyIf};
use crate::vhost::queue::Queue;

impl Session {
    pub(super) async fn queue_method(&mut self, number: u16, method: &queue::Method<'_>) -> Result<()> {
        match method {
            queue::Method::Declare(declare) => self.declare_queue(number, declare).await,
            queue::Method::Bind(bind) => self.bind_queue(number, bind).await,
            queue::Method::Unbind(unbind) => self.unbind_queue(number, unbind).await,
            queue::Method::Purge(purge) => {
                self.may_use(Right::Read, self.named(number, &purge.queue))?;
                let queue = self.queue(number, &purge.queue).await?;
                self.apply_settles();
                let purged = self.shared.broker.purge(&queue.stored).await;
                let purged = purged.map_err(|error| self.vhost.gone(&queue, error))?;
                if !purge.nowait {
                    self.send(number, &queue::PurgeOk { message_count: count(purged) });
                }
                Ok(())
            }
            queue::Method::Delete(delete) => self.delete_queue(number, delete).await,
            queue::Method::DeclareOk(_)
            | queue::Method::BindOk(_)
            | queue::Method::PurgeOk(_)
            | queue::Method::DeleteOk(_)
            | queue::Method::UnbindOk(_) => Err(Exception::command_invalid("unimplemented method")),
        }
    }

    /// The queue of that name, which this connection may use. An empty name stands for the one declared last.
    pub(super) async fn queue(&mut self, number: u16, name: &str) -> Result<Arc<Queue>> {
        let queue = if name.is_empty() {
            let last = self.channel(number)?.last_queue.as_ref().map(|queue| queue.name.clone());
            let Some(last) = last else {
                return Err(Exception::new(ReplyCode::NotFound, "no previously declared queue"));
            };
            self.vhost.find(last.as_str()).await?
        } else {
            self.vhost.find(name).await?
        };
        queue.check_access(self.number, &self.vhost.name)?;
        Ok(queue)
    }

    async fn declare_queue(&mut self, number: u16, declare: &queue::Declare<'_>) -> Result<()> {
        self.apply_settles();
        if let Some(name) = self.reply_queue(&declare.queue)? {
            if !declare.nowait {
                let queue = ShortStr::cut(&name);
                self.send(number, &queue::DeclareOk { queue, message_count: 0, consumer_count: 1 });
            }
            return Ok(());
        }
        let queue = if declare.passive {
            self.queue(number, &declare.queue).await?
        } else {
            let given;
            let name = if declare.queue.is_empty() {
                given = self.vhost.give_name();
                &given
            } else {
                declare.queue.as_str()
            };
            self.may_use(Right::Configure, name)?;
            if let Some(Value::Text(exchange)) = declare.arguments.get(b"x-dead-letter-exchange") {
                self.may_use(Right::Read, name)?;
                self.may_use_exchange(Right::Write, &String::from_utf8_lossy(exchange))?;
            }
            let request = DeclareRequest {
                name,
                durable: declare.durable,
                exclusive: declare.exclusive,
                auto_delete: declare.auto_delete,
                arguments: declare.arguments,
                connection: self.number,
            };
            self.vhost.declare(&request).await?
        };
        queue.touch(self.now());
        let stats = self.vhost.stats(&queue).await?;
        self.channel(number)?.last_queue = Some(Arc::clone(&queue));
        if !declare.nowait {
            let declared = queue::DeclareOk {
                queue: ShortStr::cut(queue.name.as_str()),
                message_count: count(stats.ready),
                consumer_count: queue.consumer_count(),
            };
            self.send(number, &declared);
        }
        Ok(())
    }

    /// The name where it stands for a channel that waits for replies, which looks like a queue to those who ask.
    fn reply_queue(&self, name: &str) -> Result<Option<String>> {
        if is_direct(name) && !self.shared.replies.is_there(name) {
            return Err(self.vhost.no_queue(name));
        }
        Ok((is_direct(name) || name == PSEUDO_QUEUE).then(|| name.to_owned()))
    }

    async fn bind_queue(&mut self, number: u16, bind: &queue::Bind<'_>) -> Result<()> {
        self.may_use(Right::Write, self.named(number, &bind.queue))?;
        self.may_use_exchange(Right::Read, &bind.exchange)?;
        let queue = self.queue(number, &bind.queue).await?;
        let arguments = headers::read(bind.arguments);
        let request = BindRequest {
            source: &bind.exchange,
            target: Target::Queue(queue.name.as_str()),
            key: self.key(number, &bind.queue, &bind.routing_key)?,
            arguments: &arguments,
        };
        let (broker, vhost) = (&self.shared.broker, &self.vhost);
        let durability = |queue: &QueueName| broker.durability(&vhost.name, queue.as_str());
        vhost.change(|topology| topology.bind(&request, durability)).await?;
        if !bind.nowait {
            self.send(number, &queue::BindOk {});
        }
        Ok(())
    }

    async fn unbind_queue(&mut self, number: u16, unbind: &queue::Unbind<'_>) -> Result<()> {
        self.may_use(Right::Write, self.named(number, &unbind.queue))?;
        self.may_use_exchange(Right::Read, &unbind.exchange)?;
        let queue = self.queue(number, &unbind.queue).await?;
        let arguments = headers::read(unbind.arguments);
        let request = BindRequest {
            source: &unbind.exchange,
            target: Target::Queue(queue.name.as_str()),
            key: self.key(number, &unbind.queue, &unbind.routing_key)?,
            arguments: &arguments,
        };
        self.vhost.change(|topology| topology.unbind(&request)).await?;
        self.send(number, &queue::UnbindOk {});
        Ok(())
    }

    /// The name that an empty one stands for.
    pub(crate) fn named<'n>(&'n self, number: u16, name: &'n str) -> &'n str {
        let last = self.channels.get(&number).and_then(|channel| channel.last_queue.as_deref());
        match last {
            Some(last) if name.is_empty() => last.name.as_str(),
            _ => name,
        }
    }

    /// Where neither queue nor key is named, the queue's name is the key.
    fn key<'k>(&'k self, number: u16, queue: &str, key: &'k str) -> Result<&'k str> {
        let last = self.channels.get(&number).and_then(|channel| channel.last_queue.as_deref());
        Ok(match last {
            Some(last) if queue.is_empty() && key.is_empty() => last.name.as_str(),
            _ => key,
        })
    }

    async fn delete_queue(&mut self, number: u16, delete: &queue::Delete<'_>) -> Result<()> {
        self.apply_settles();
        self.may_use(Right::Configure, self.named(number, &delete.queue))?;
        let only_if = OnlyIf { unused: delete.if_unused, empty: delete.if_empty };
        let deleted = match self.queue(number, &delete.queue).await {
            Ok(queue) => self.vhost.delete(&queue, only_if).await?,
            // A queue that is not there is as good as deleted.
            Err(exception) if exception.code == ReplyCode::NotFound && !delete.queue.is_empty() => 0,
            Err(exception) => return Err(exception),
        };
        if !delete.nowait {
            self.send(number, &queue::DeleteOk { message_count: count(deleted) });
        }
        Ok(())
    }
}

/// As many as a method can say.
pub(super) fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
