//! A queue as AMQP knows it: how it was declared, and who consumes from it.

use std::sync::Arc;

use forebay_core::queue::QueueName;
use forebay_wire::amqp::reply::ReplyCode;
use forebay_wire::amqp::table::TableBuf;
use parking_lot::Mutex;

use super::arguments::Asked;
use crate::exception::{Exception, Result};

/// A queue. It is still one where the broker's queue is gone; then the broker says so.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) name: QueueName,
    pub(crate) durable: bool,
    pub(crate) auto_delete: bool,
    /// The connection that has it for itself.
    pub(crate) owner: Option<u64>,
    pub(crate) arguments: TableBuf,
    pub(crate) asked: Asked,
    /// Whether the arguments are known: a queue that was found may have been declared with others.
    pub(crate) is_known: bool,
    consumers: Arc<Mutex<Consumers>>,
}

#[derive(Debug, Default)]
struct Consumers {
    count: u32,
    exclusive: bool,
    /// Whether there ever was one: without, nobody has left.
    ever: bool,
}

impl Queue {
    pub(crate) fn new(
        name: QueueName,
        durable: bool,
        auto_delete: bool,
        owner: Option<u64>,
        arguments: TableBuf,
        asked: Asked,
    ) -> Arc<Self> {
        let (is_known, consumers) = (true, Arc::default());
        Arc::new(Self { name, durable, auto_delete, owner, arguments, asked, is_known, consumers })
    }

    /// A queue that another front declared, or this one before a restart.
    pub(crate) fn found(name: QueueName) -> Arc<Self> {
        let (durable, auto_delete, owner) = (true, false, None);
        let (arguments, asked, is_known) = (TableBuf::new(), Asked::default(), false);
        let consumers = Arc::default();
        Arc::new(Self { name, durable, auto_delete, owner, arguments, asked, is_known, consumers })
    }

    /// The same queue, now that somebody has said how it was declared and the broker agrees.
    pub(crate) fn declared_with(&self, auto_delete: bool, arguments: TableBuf, asked: Asked) -> Arc<Self> {
        let (name, consumers) = (self.name.clone(), Arc::clone(&self.consumers));
        let (durable, owner, is_known) = (self.durable, self.owner, true);
        Arc::new(Self { name, durable, auto_delete, owner, arguments, asked, is_known, consumers })
    }

    /// Whether both are one queue; another may have been declared by the same name since.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.consumers, &other.consumers)
    }

    /// Whether it goes with its connection or its process.
    pub(crate) fn is_transient(&self) -> bool {
        !self.durable || self.owner.is_some()
    }

    /// Refuses where another connection has the queue for itself.
    pub(crate) fn check_access(&self, connection: u64, vhost: &str) -> Result<()> {
        match self.owner {
            Some(owner) if owner != connection => Err(self.locked(vhost)),
            _ => Ok(()),
        }
    }

    pub(crate) fn locked(&self, vhost: &str) -> Exception {
        let text = format!(
            "cannot obtain exclusive access to locked queue '{}' in vhost '{vhost}'. It could be originally declared on \
             another connection or the exclusive property value does not match that of the original declaration.",
            self.name
        );
        Exception::new(ReplyCode::ResourceLocked, text)
    }

    /// One more consumer; refused where one is or would be alone.
    pub(crate) fn add_consumer(&self, exclusive: bool, vhost: &str) -> Result<()> {
        let mut consumers = self.consumers.lock();
        if consumers.exclusive || (exclusive && consumers.count > 0) {
            let text = format!("queue '{}' in vhost '{vhost}' in exclusive use", self.name);
            return Err(Exception::new(ReplyCode::AccessRefused, text));
        }
        *consumers = Consumers { count: consumers.count + 1, exclusive, ever: true };
        Ok(())
    }

    /// One less. True where the queue is to go with it.
    pub(crate) fn remove_consumer(&self) -> bool {
        let mut consumers = self.consumers.lock();
        consumers.count = consumers.count.saturating_sub(1);
        consumers.exclusive = false;
        self.auto_delete && consumers.ever && consumers.count == 0
    }

    pub(crate) fn consumer_count(&self) -> u32 {
        self.consumers.lock().count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exclusive_consumer_is_alone_until_it_leaves() {
        let queue = Queue::found(QueueName::new("q").unwrap());
        queue.add_consumer(true, "/").unwrap();
        assert_eq!(queue.add_consumer(false, "/").unwrap_err().code, ReplyCode::AccessRefused);
        assert!(!queue.remove_consumer(), "it is not one that deletes itself");
        queue.add_consumer(false, "/").unwrap();
        assert!(queue.add_consumer(true, "/").is_err());
        assert_eq!(queue.consumer_count(), 1);
    }

    #[test]
    fn a_queue_goes_with_its_last_consumer_where_it_was_told_to() {
        let name = QueueName::new("q").unwrap();
        let queue = Queue::new(name, true, true, None, TableBuf::new(), Asked::default());
        queue.add_consumer(false, "/").unwrap();
        queue.add_consumer(false, "/").unwrap();
        assert!(!queue.remove_consumer());
        assert!(queue.remove_consumer());
    }
}
