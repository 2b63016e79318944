//! Declaring and deleting queues.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use forebay_broker::virtual_hosts::names;
use forebay_core::error::{self, Kind};
use forebay_core::ports::broker::Broker;
use forebay_core::queue::{Lifetime, QueueName, QueueSettings};
use forebay_wire::amqp::reply::ReplyCode;
use forebay_wire::amqp::table::{Table, TableBuf};

use super::arguments::compare::check_same;
use super::arguments::read::{Flags, read};
use super::declaration;
use super::queue::{Declaration, Queue};
use super::registry::Vhost;
use crate::exception::{Exception, Result};

/// What the names of queues begin with that clients do not declare.
const RESERVED_PREFIX: &str = "amq.";
/// What the names begin with that the server gives.
const GIVEN_PREFIX: &str = "amq.gen-";

/// A request that a queue be there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeclareRequest<'a> {
    pub(crate) name: &'a str,
    pub(crate) durable: bool,
    pub(crate) exclusive: bool,
    pub(crate) auto_delete: bool,
    pub(crate) arguments: Table<'a>,
    /// The connection that asks.
    pub(crate) connection: u64,
}

impl DeclareRequest<'_> {
    fn flags(&self) -> Flags {
        Flags { durable: self.durable, exclusive: self.exclusive, auto_delete: self.auto_delete }
    }
}

/// Under which conditions a queue is to be deleted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OnlyIf {
    pub(crate) unused: bool,
    pub(crate) empty: bool,
}

impl Vhost {
    /// Declares a queue, or checks that it is as asked for.
    pub(crate) async fn declare(&self, request: &DeclareRequest<'_>) -> Result<Arc<Queue>> {
        let DeclareRequest { name, durable, exclusive, auto_delete, arguments, connection } = *request;
        let queue_name = QueueName::new(name).map_err(Exception::from)?;
        let stored = names::queue_name(&self.name, name).map_err(Exception::from)?;
        let _declaring = self.declaring.lock().await;
        if let Some(going) = self.known(&stored).filter(|queue| queue.is_going()) {
            // Those it went with left before.
            self.remove(&going).await?;
        }
        match self.find(name).await {
            Ok(present) => {
                let queue = self.check_same(present, request).await?;
                // Before its time can come.
                queue.touch(self.clock.now());
                return Ok(queue);
            }
            Err(exception) if exception.code != ReplyCode::NotFound => return Err(exception),
            Err(_) => {}
        }
        if name.starts_with(RESERVED_PREFIX) && !name.starts_with(GIVEN_PREFIX) {
            let text = format!("queue name '{name}' contains reserved prefix 'amq.*'");
            return Err(Exception::new(ReplyCode::AccessRefused, text));
        }
        let asked = read(arguments, request.flags(), &self.place(name))?;
        let owner = exclusive.then_some(connection);
        let is_passing = !durable || exclusive;
        let settings = QueueSettings {
            lifetime: if is_passing { Lifetime::Process } else { Lifetime::Durable },
            declaration: declaration::write(request.flags(), arguments),
            ..asked.settings(stored.clone())
        };
        let arguments = TableBuf::from(arguments);
        let declaration = Declaration { durable, auto_delete, owner, arguments, asked };
        let now = self.clock.now();
        let number = self.broker.declare(&settings).await?;
        Ok(self.add(Queue::new(number, queue_name, stored, declaration, now)))
    }

    /// A name for a queue whose client leaves it to the server.
    pub(crate) fn give_name(&self) -> String {
        let octets = [self.clock.random(), self.clock.random()].map(u64::to_be_bytes).concat();
        format!("{GIVEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(octets))
    }

    async fn check_same(&self, present: Arc<Queue>, request: &DeclareRequest<'_>) -> Result<Arc<Queue>> {
        present.check_access(request.connection, &self.name)?;
        if present.owner.is_some() != request.exclusive {
            return Err(present.locked(&self.name));
        }
        let place = self.place(request.name);
        let auto_delete = if present.is_known { present.auto_delete } else { request.auto_delete };
        let flags = [
            ("durable", request.durable, present.durable),
            ("auto_delete", request.auto_delete, auto_delete),
        ];
        if let Some((flag, received, current)) = flags.into_iter().find(|(_, one, other)| one != other) {
            return Err(Exception::precondition(format!(
                "inequivalent arg '{flag}' for {place}: received '{received}' but current is '{current}'"
            )));
        }
        if !present.is_known {
            // From before a restart: what it was declared with, the broker knows.
            let asked = read(request.arguments, request.flags(), &place)?;
            self.broker.ensure(&asked.settings(present.stored.clone())).await?;
            let arguments = TableBuf::from(request.arguments);
            return Ok(self.replace(present.declared_with(auto_delete, arguments, asked)));
        }
        check_same(present.arguments.as_table(), request.arguments, &place)?;
        Ok(present)
    }

    /// Deletes the queue with its messages, and says how many were ready. One that is not there counts as deleted.
    pub(crate) async fn delete(&self, queue: &Queue, only_if: OnlyIf) -> Result<u64> {
        let _declaring = self.declaring.lock().await;
        let ready = match self.stats(queue).await {
            Ok(stats) => stats.ready,
            Err(exception) if exception.code == ReplyCode::NotFound => return Ok(0),
            Err(exception) => return Err(exception),
        };
        let place = self.place(queue.name.as_str());
        // Of two reasons RabbitMQ names this one.
        if only_if.unused && !queue.bar_consumers() {
            return Err(Exception::precondition(format!("{place} in use")));
        }
        if only_if.empty && ready > 0 {
            queue.admit_consumers();
            return Err(Exception::precondition(format!("{place} not empty")));
        }
        if let Err(error) = self.remove(queue).await {
            queue.admit_consumers();
            return Err(error.into());
        }
        Ok(ready)
    }

    /// Deletes the queue, and never another of its name. It is forgotten only when the broker has done so: one that is still
    /// there keeps its owner and its consumers their turns. To be called while `declaring` is held.
    pub(super) async fn remove(&self, queue: &Queue) -> error::Result<()> {
        match self.broker.delete_numbered(&queue.stored, queue.number).await {
            Err(error) if error.kind() != Kind::NotFound => return Err(error),
            _ => {}
        }
        self.forget(queue);
        Ok(())
    }
}
