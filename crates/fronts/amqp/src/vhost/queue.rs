//! A queue as AMQP knows it: how it was declared, and who consumes from it.

use std::sync::Arc;

use forebay_core::queue::QueueName;
use forebay_core::time::Instant;
use forebay_wire::amqp::reply::ReplyCode;
use forebay_wire::amqp::table::TableBuf;
use parking_lot::Mutex;

use super::arguments::read::Asked;
use super::turns::Turns;
use crate::exception::{Exception, Result};

/// A queue. It is still one where the broker's queue is gone; then the broker says so.
#[derive(Debug)]
pub(crate) struct Queue {
    /// The broker's number of it, which tells it from others of its name.
    pub(crate) number: u64,
    pub(crate) name: QueueName,
    /// Its name among the queues of all virtual hosts, as the broker knows it.
    pub(crate) stored: QueueName,
    pub(crate) durable: bool,
    pub(crate) auto_delete: bool,
    /// The connection that has it for itself.
    pub(crate) owner: Option<u64>,
    pub(crate) arguments: TableBuf,
    pub(crate) asked: Asked,
    /// Whether the arguments are known: a queue that was found may have been declared with others.
    pub(crate) is_known: bool,
    /// Who gets the next message.
    pub(crate) turns: Arc<Turns>,
    consumers: Arc<Mutex<Consumers>>,
}

#[derive(Debug, Default)]
struct Consumers {
    /// When somebody last used the queue otherwise than by publishing.
    used_at: Instant,
    count: u32,
    exclusive: bool,
    /// Whether there ever was one: without, nobody has left.
    ever: bool,
    /// The queue goes by itself, and nobody may come any more.
    is_going: bool,
    /// Somebody deletes it because it has no consumers, and none may come meanwhile.
    is_being_deleted: bool,
}

/// How a queue is declared.
#[derive(Clone, Debug)]
pub(crate) struct Declaration {
    pub(crate) durable: bool,
    pub(crate) auto_delete: bool,
    /// The connection that has it for itself.
    pub(crate) owner: Option<u64>,
    pub(crate) arguments: TableBuf,
    pub(crate) asked: Asked,
}

impl Queue {
    pub(crate) fn new(
        number: u64,
        name: QueueName,
        stored: QueueName,
        declaration: Declaration,
        now: Instant,
    ) -> Arc<Self> {
        let Declaration { durable, auto_delete, owner, arguments, asked } = declaration;
        let consumers = Arc::new(Mutex::new(Consumers { used_at: now, ..Consumers::default() }));
        let (turns, is_known) = (Turns::new(asked.single_active), true);
        Arc::new(Self {
            number,
            name,
            stored,
            durable,
            auto_delete,
            owner,
            arguments,
            asked,
            is_known,
            turns,
            consumers,
        })
    }

    /// A queue that another front declared, or this one before a restart.
    pub(crate) fn found(number: u64, name: QueueName, stored: QueueName, now: Instant) -> Arc<Self> {
        let (arguments, asked) = (TableBuf::new(), Asked::default());
        let declaration = Declaration { durable: true, auto_delete: false, owner: None, arguments, asked };
        let mut queue = Self::new(number, name, stored, declaration, now);
        if let Some(queue) = Arc::get_mut(&mut queue) {
            queue.is_known = false;
        }
        queue
    }

    /// The same queue, now that somebody has said how it was declared and the broker agrees.
    pub(crate) fn declared_with(&self, auto_delete: bool, arguments: TableBuf, asked: Asked) -> Arc<Self> {
        Arc::new(Self {
            number: self.number,
            name: self.name.clone(),
            stored: self.stored.clone(),
            durable: self.durable,
            auto_delete,
            owner: self.owner,
            turns: Arc::clone(&self.turns),
            arguments,
            asked,
            is_known: true,
            consumers: Arc::clone(&self.consumers),
        })
    }

    /// It was used then.
    pub(crate) fn touch(&self, at: Instant) {
        let mut consumers = self.consumers.lock();
        consumers.used_at = consumers.used_at.max(at);
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

    /// One more consumer; refused where one is or would be alone, and where the queue is about to go.
    pub(crate) fn add_consumer(&self, exclusive: bool, vhost: &str) -> Result<()> {
        let mut consumers = self.consumers.lock();
        if consumers.is_going || consumers.is_being_deleted {
            let text = format!("no queue '{}' in vhost '{vhost}'", self.name);
            return Err(Exception::new(ReplyCode::NotFound, text));
        }
        if consumers.exclusive || (exclusive && (consumers.count > 0 || self.asked.single_active)) {
            let text = format!("queue '{}' in vhost '{vhost}' in exclusive use", self.name);
            return Err(Exception::new(ReplyCode::AccessRefused, text));
        }
        consumers.count += 1;
        consumers.exclusive = exclusive;
        consumers.ever = true;
        Ok(())
    }

    /// One less. True where the queue goes with it: from then on nobody can come.
    pub(crate) fn remove_consumer(&self, now: Instant) -> bool {
        let mut consumers = self.consumers.lock();
        consumers.used_at = now;
        consumers.count = consumers.count.saturating_sub(1);
        consumers.exclusive = false;
        consumers.is_going |= self.auto_delete && consumers.ever && consumers.count == 0;
        consumers.is_going
    }

    /// From now on nobody can come. False where somebody consumes: then all is as it was.
    pub(crate) fn bar_consumers(&self) -> bool {
        let mut consumers = self.consumers.lock();
        consumers.is_being_deleted |= consumers.count == 0;
        consumers.is_being_deleted
    }

    /// It was not deleted after all.
    pub(crate) fn admit_consumers(&self) {
        self.consumers.lock().is_being_deleted = false;
    }

    /// The connection that had it for itself is gone, and the queue goes with it.
    pub(crate) fn go(&self) {
        self.consumers.lock().is_going = true;
    }

    /// Whether nobody has used the queue for its time, as far as is known here.
    pub(crate) fn is_unused(&self, now: Instant) -> bool {
        let consumers = self.consumers.lock();
        let expires = self.asked.expires.filter(|_| consumers.count == 0);
        expires.is_some_and(|expires| consumers.used_at + expires <= now)
    }

    /// The queue goes where nobody has used it for its time. True where it does, now or since before.
    pub(crate) fn goes_unused(&self, now: Instant) -> bool {
        if self.is_unused(now) {
            self.go();
        }
        self.is_going()
    }

    /// Whether it goes by itself: to those who come now it is not there any more.
    pub(crate) fn is_going(&self) -> bool {
        self.consumers.lock().is_going
    }

    pub(crate) fn consumer_count(&self) -> u32 {
        self.consumers.lock().count
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Instant = Instant::from_ms(1000);

    fn queue(auto_delete: bool, asked: Asked) -> Arc<Queue> {
        let (name, arguments) = (QueueName::new("q").unwrap(), TableBuf::new());
        let declaration = Declaration { durable: true, auto_delete, owner: None, arguments, asked };
        Queue::new(1, name.clone(), name, declaration, NOW)
    }

    #[test]
    fn an_exclusive_consumer_is_alone_until_it_leaves() {
        let queue = queue(false, Asked::default());
        queue.add_consumer(true, "/").unwrap();
        assert_eq!(queue.add_consumer(false, "/").unwrap_err().code, ReplyCode::AccessRefused);
        assert!(!queue.remove_consumer(NOW), "it is not one that deletes itself");
        queue.add_consumer(false, "/").unwrap();
        assert!(queue.add_consumer(true, "/").is_err());
        assert_eq!(queue.consumer_count(), 1);
    }

    #[test]
    fn a_queue_goes_with_its_last_consumer_where_it_was_told_to() {
        let queue = queue(true, Asked::default());
        queue.add_consumer(false, "/").unwrap();
        queue.add_consumer(false, "/").unwrap();
        assert!(!queue.remove_consumer(NOW));
        assert!(queue.remove_consumer(NOW));
        let refused = queue.add_consumer(false, "/").unwrap_err();
        assert_eq!(refused.to_string(), "NOT_FOUND - no queue 'q' in vhost '/'");
    }

    #[test]
    fn a_queue_expires_when_it_was_not_used_for_its_time_and_never_under_a_consumer() {
        let expires = Duration::from_secs(5);
        let queue = queue(false, Asked { expires: Some(expires), ..Asked::default() });
        queue.add_consumer(false, "/").unwrap();
        let later = NOW + expires;
        assert!(!queue.goes_unused(later));
        queue.remove_consumer(later);
        assert!(!queue.goes_unused(later) && !queue.is_going());
        assert!(queue.goes_unused(later + expires) && queue.is_going());
        assert_eq!(queue.add_consumer(false, "/").unwrap_err().code, ReplyCode::NotFound);
    }

    #[test]
    fn who_used_a_queue_before_it_was_said_how_it_was_declared_counts_as_well() {
        let (name, expires) = (QueueName::new("q").unwrap(), Duration::from_secs(5));
        let found = Queue::found(1, name.clone(), name, NOW);
        found.add_consumer(false, "/").unwrap();
        let asked = Asked { expires: Some(expires), ..Asked::default() };
        let declared = found.declared_with(false, TableBuf::new(), asked);
        let later = NOW + expires;
        found.remove_consumer(later);
        assert!(!declared.goes_unused(later) && declared.goes_unused(later + expires));
    }
}
