//! Virtual hosts: looking at their exchanges and bindings, changing them durably, and routing by them.
//!
//! A virtual host is there from its first use. Its lock is taken before all others: whoever decides by looking at exchanges
//! and queues together finds both as they are until what was decided is done.

mod host;
pub mod names;
mod routes;

use std::fmt;
use std::sync::Arc;

use forebay_core::error::{Error, Result};
use forebay_core::limits;
use forebay_core::message::Headers;
use forebay_core::queue::{Lifetime, QueueName};
use forebay_log::Class;

use crate::broker::EmbeddedBroker;
use crate::engine::Engine;
use crate::routing::change::Change;
use crate::routing::decide::Durability;
use crate::routing::refusal::Refusal;
use crate::routing::topology::Topology;
use crate::topology::Queue;

pub(crate) use host::{Host, Hosts};
pub(crate) use routes::Routes;

/// Why exchanges and bindings were not changed.
#[derive(Debug)]
pub enum NotChanged {
    /// The request cannot be granted.
    Refused(Refusal),
    /// The change could not be made, or not be made durable.
    Failed(Error),
}

impl fmt::Display for NotChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NotChanged {}

impl From<Refusal> for NotChanged {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for NotChanged {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl EmbeddedBroker {
    /// The names of all virtual hosts that have been used, in order.
    pub fn virtual_hosts(&self) -> Vec<String> {
        self.engine.hosts.names()
    }

    /// Looks at the exchanges and bindings of a virtual host. What is done in `look` holds up whoever changes them.
    ///
    /// ```
    /// # fn look(broker: &forebay_broker::EmbeddedBroker) {
    /// let exchanges = broker.look("/", |topology| topology.exchange_count());
    /// # }
    /// ```
    pub fn look<T>(&self, vhost: &str, look: impl FnOnce(&Topology) -> T) -> T {
        self.engine.look_at(vhost, look)
    }

    /// Decides about exchanges and bindings, and makes the changes that are decided, in one step. `Ok`: those of them that are
    /// to survive a restart are durable, and so is what was found to be there already. `Refused`: nothing was changed.
    /// `Failed`: nothing, some or all of it was. May repeat. `decide` may be asked again while the log is not ready.
    ///
    /// ```
    /// # async fn change(
    /// #     broker: &forebay_broker::EmbeddedBroker,
    /// # ) -> Result<(), forebay_broker::virtual_hosts::NotChanged> {
    /// use forebay_broker::routing::decide::DeclareRequest;
    /// use forebay_core::message::Headers;
    ///
    /// let arguments = Headers::new();
    /// let (durable, auto_delete, internal) = (true, false, false);
    /// let (name, kind) = ("orders", "topic");
    /// let request = DeclareRequest { name, kind, durable, auto_delete, internal, arguments: &arguments };
    /// broker.change("/", |topology| topology.declare(&request)).await
    /// # }
    /// ```
    pub async fn change<C: IntoIterator<Item = Change>>(
        &self,
        vhost: &str,
        mut decide: impl FnMut(&Topology) -> std::result::Result<C, Refusal>,
    ) -> std::result::Result<(), NotChanged> {
        let change = || match self.engine.change(vhost, &mut decide) {
            Ok(last) => Ok(Ok(last)),
            Err(NotChanged::Refused(refusal)) => Ok(Err(refusal)),
            Err(NotChanged::Failed(error)) => Err(error),
        };
        let length = limits::ROUTING_CHANGE_BYTES_MAX.min(self.engine.journal.message_bytes_max());
        let last = self.engine.when_ready(Class::New, length, change).await??;
        Ok(self.log().durable(last).await?)
    }

    /// Whether the virtual host has a queue of this name, and whether that survives a restart: what
    /// [`bind`](Topology::bind) asks for. It may be asked for in `decide` and `look`.
    pub fn durability(&self, vhost: &str, queue: &str) -> Option<Durability> {
        let queue = self.engine.topology.find(&names::queue_name(vhost, queue).ok()?).ok()?;
        Some(match queue.lifetime {
            Lifetime::Durable => Durability::Durable,
            Lifetime::Process => Durability::Transient,
        })
    }

    /// The queues, by the broker's names for them, to which a message goes that is published to an exchange of the virtual
    /// host.
    pub fn route(
        &self,
        vhost: &str,
        exchange: &str,
        key: &str,
        headers: &Headers,
    ) -> std::result::Result<Vec<QueueName>, Refusal> {
        self.engine.route(vhost, exchange, key, headers)
    }
}

impl Engine {
    /// Makes the changes that are decided. Returns the sequence that makes them durable.
    pub(crate) fn change<C: IntoIterator<Item = Change>>(
        &self,
        vhost: &str,
        decide: impl FnOnce(&Topology) -> std::result::Result<C, Refusal>,
    ) -> std::result::Result<u64, NotChanged> {
        self.check_open("change virtual host")?;
        let host = self.hosts.find_or_add(vhost)?;
        let mut host = host.write();
        let changes: Vec<_> = decide(&host.topology)?.into_iter().collect();
        host.make(&self.journal, &changes)?;
        Ok(host.last)
    }

    fn look_at<T>(&self, vhost: &str, look: impl FnOnce(&Topology) -> T) -> T {
        match self.hosts.find_or_add(vhost) {
            Ok(host) => look(&host.read().topology),
            // One too many is as good as new.
            Err(_) => look(&Topology::new(vhost)),
        }
    }

    /// As [`route`](Self::route), of what the broker itself sends through an exchange.
    pub(crate) fn pass_on(
        &self,
        vhost: &str,
        exchange: &str,
        key: &str,
        headers: &Headers,
    ) -> std::result::Result<Vec<QueueName>, Refusal> {
        let global = |queue: &QueueName| names::queue_name(vhost, queue.as_str()).ok();
        let exists = |queue: &QueueName| global(queue).is_some_and(|queue| self.topology.has(&queue));
        let routed = self.look_at(vhost, |topology| topology.pass_on(exchange, key, headers, exists))?;
        Ok(routed.queues.iter().filter_map(global).collect())
    }

    pub(crate) fn route(
        &self,
        vhost: &str,
        exchange: &str,
        key: &str,
        headers: &Headers,
    ) -> std::result::Result<Vec<QueueName>, Refusal> {
        let global = |queue: &QueueName| names::queue_name(vhost, queue.as_str()).ok();
        let exists = |queue: &QueueName| global(queue).is_some_and(|queue| self.topology.has(&queue));
        let routed = self.look_at(vhost, |topology| topology.route(exchange, key, headers, exists))?;
        Ok(routed.queues.iter().filter_map(global).collect())
    }

    /// Removes a queue with the bindings that lead to it and the exchanges that go with those: one record says all of it. Where
    /// a number is given, only if the queue has it. Returns the queue and the sequence that makes it so.
    pub(crate) fn remove_queue(&self, name: &QueueName, number: Option<u64>) -> Result<(Arc<Queue>, u64)> {
        let (vhost, local) = names::place(name);
        let Ok(host) = self.hosts.find_or_add(&vhost) else {
            return self.topology.delete(&self.journal, name, number, &[]);
        };
        let mut host = host.write();
        let local = QueueName::new(local)?;
        let changes = host.topology.queue_deleted(&local);
        let fitting = self.journal.message_bytes_max();
        let mut bytes = 0;
        // Beyond what one record takes a crash may leave exchanges that would have gone with it.
        let count = changes.iter().take_while(|change| {
            bytes += change.encode(&vhost).map_or(0, |encoded| encoded.len() + size_of::<u32>());
            bytes <= fitting
        });
        let (with, rest) = changes.split_at(count.count());
        let (queue, sequence) = self.topology.delete(&self.journal, name, number, &host.encode(with))?;
        host.apply(&self.journal, with, None);
        host.last = sequence;
        // The queue is gone whatever becomes of these: they are exchanges that nothing is bound to any more.
        if let Err(error) = host.make(&self.journal, rest) {
            tracing::warn!(queue = %name, %error, "exchanges that should go with their last queue stay");
        }
        Ok((queue, host.last))
    }
}

#[cfg(test)]
mod tests {
    use forebay_contract::clock::SimClock;
    use forebay_contract::files::Saboteur;
    use forebay_core::delivery::Outcome;
    use forebay_core::error::Kind;
    use forebay_core::queue::QueueSettings;

    use super::*;
    use crate::bench::Bench;
    use crate::routing::decide::{BindRequest, DeclareRequest, Target};

    static NONE: Headers = Headers::new();

    fn declare(bench: &Bench, vhost: &str, name: &str, durable: bool, auto_delete: bool) {
        let (kind, internal) = ("fanout", false);
        let request = DeclareRequest { name, kind, durable, auto_delete, internal, arguments: &NONE };
        bench.engine().change(vhost, |topology| topology.declare(&request)).unwrap();
    }

    fn bind(bench: &Bench, vhost: &str, source: &str, target: Target<'_>) {
        let request = BindRequest { source, target, key: "k", arguments: &NONE };
        let durability = |queue: &QueueName| bench.broker.durability(vhost, queue.as_str());
        bench.engine().change(vhost, |topology| topology.bind(&request, durability)).unwrap();
    }

    fn bindings(bench: &Bench, vhost: &str) -> Vec<String> {
        bench.broker.look(vhost, |topology| {
            let ends = |change: &Change| match change {
                Change::Bind(binding) => format!("{} {:?}", binding.source(), binding.destination()),
                Change::DeclareExchange(exchange) => exchange.name.to_string(),
                _ => panic!("nothing is there by being gone"),
            };
            topology.durable_changes().map(|change| ends(&change)).collect()
        })
    }

    /// Publishes and settles until the log has given back so many segments.
    fn release(bench: &Bench, segments: u64) {
        let busy = bench.queue("busy");
        let oldest = || *bench.engine().journal.log.segments().start();
        let before = oldest();
        while oldest() < before + segments {
            bench.publish(&busy, 300);
            bench.settle(&bench.receive(&busy).unwrap(), Outcome::Done);
            bench.write();
            drop(bench.engine().free_step());
        }
        bench.write();
    }

    #[test]
    fn what_is_durable_comes_back_whatever_the_log_has_released_and_pins_nothing() {
        for released in 0..12 {
            let bench = Bench::new(1_000);
            for vhost in ["/", "v"] {
                bench.queue(names::queue_name(vhost, "q").unwrap().as_str());
                for (name, durable) in [("a", true), ("b", true), ("passing", false)] {
                    declare(&bench, vhost, name, durable, false);
                    bind(&bench, vhost, name, Target::Queue("q"));
                    release(&bench, released / 4);
                }
                bind(&bench, vhost, "b", Target::Exchange("a"));
            }
            release(&bench, released);
            bench.free();
            assert!(bench.segments() < 6, "{}", bench.segments());
            let bench = bench.crash();
            assert_eq!(bench.broker.virtual_hosts(), ["/", "v"]);
            for (vhost, global) in [("/", "q"), ("v", "//v/q")] {
                let all = ["a", "b", "a Queue(\"q\")", "b Queue(\"q\")", "b Exchange(\"a\")"];
                assert_eq!(bindings(&bench, vhost), all, "{released} segments were released");
                let routed = bench.broker.route(vhost, "b", "", &NONE).unwrap();
                assert_eq!(routed, [QueueName::new(global).unwrap()]);
                assert_eq!(bench.broker.route(vhost, "", "q", &NONE).unwrap(), routed);
            }
        }
    }

    #[test]
    fn a_queue_takes_its_bindings_and_the_exchanges_that_go_with_them_for_good() {
        for (before, after) in [(0, 0), (1, 2), (3, 1), (3, 6)] {
            let bench = Bench::new(1_000);
            let q = bench.queue("q");
            declare(&bench, "/", "stays", true, false);
            declare(&bench, "/", "goes", true, true);
            bind(&bench, "/", "stays", Target::Queue("q"));
            bind(&bench, "/", "goes", Target::Queue("q"));
            bind(&bench, "/", "stays", Target::Exchange("goes"));
            release(&bench, before);
            bench.until_ready(bench.engine().delete(&q, None)).unwrap();
            release(&bench, after);
            let bench = bench.crash();
            assert!(bench.broker.queue_number(&q).is_none());
            bench.queue("q");
            assert_eq!(bindings(&bench, "/"), ["stays"]);
            bench.write();
            assert_eq!(bindings(&bench.crash(), "/"), ["stays"]);
        }
    }

    #[test]
    fn more_exchanges_may_go_with_a_queue_than_one_record_takes() {
        let bench = Bench::new(1_000);
        let q = bench.queue("q");
        let name = |number: usize| format!("{number:0250}");
        for number in 0..20 {
            declare(&bench, "/", &name(number), true, true);
            bind(&bench, "/", &name(number), Target::Queue("q"));
            bench.write();
        }
        bench.until_ready(bench.engine().delete(&q, None)).unwrap();
        assert_eq!(bindings(&bench, "/"), [""; 0]);
        bench.write();
        assert_eq!(bindings(&bench.crash(), "/"), [""; 0]);
    }

    #[test]
    fn a_queue_is_gone_with_its_messages_also_where_the_log_takes_no_more_of_what_goes_with_it() {
        let mut options = Bench::new(1_000).options;
        options.log.pending_bytes_max = crate::bench::SEGMENT as usize;
        let bench = Bench::open(Saboteur::new(), SimClock::new(5), options);
        let q = bench.queue("q");
        for number in 0..20 {
            let name = format!("{number:0250}");
            declare(&bench, "/", &name, true, true);
            bind(&bench, "/", &name, Target::Queue("q"));
            bench.write();
        }
        (0..30).for_each(|_| bench.publish(&q, 300));
        bench.until_ready(bench.engine().delete(&q, None)).unwrap();
        assert!(!bindings(&bench, "/").is_empty(), "the log did not take all");
        assert!(bench.broker.queue_number(&q).is_none());
        bench.free();
        let busy = bench.queue("busy");
        bench.publish(&busy, 300);
        bench.free();
        assert!(bench.segments() < 6, "nothing lives of it: {}", bench.segments());
    }

    #[test]
    fn a_binding_to_a_queue_of_the_process_or_from_an_exchange_that_passes_is_forgotten_by_a_restart() {
        let bench = Bench::new(1_000);
        let mut settings = QueueSettings::new(QueueName::new("brief").unwrap());
        settings.lifetime = Lifetime::Process;
        bench.engine().topology.declare(&bench.engine().journal, &settings, usize::MAX).unwrap();
        bench.queue("q");
        declare(&bench, "/", "x", true, false);
        declare(&bench, "/", "passing", false, false);
        bind(&bench, "/", "x", Target::Queue("brief"));
        bind(&bench, "/", "passing", Target::Queue("q"));
        assert_eq!(bench.broker.look("/", Topology::binding_count), 2);
        bench.write();
        let bench = bench.crash();
        assert_eq!(bench.broker.look("/", Topology::binding_count), 0);
        assert_eq!(bindings(&bench, "/"), ["x"]);
    }

    #[test]
    fn what_was_there_already_is_durable_when_that_is_said() {
        let bench = Bench::new(1_000);
        declare(&bench, "/", "x", true, false);
        let last = bench.engine().journal.last();
        let nothing = || bench.engine().change("/", |_| Ok(Vec::new())).unwrap();
        assert_eq!(nothing(), last);
    }

    #[test]
    fn a_refused_change_changes_nothing_and_says_why() {
        let bench = Bench::new(1_000);
        let before = bench.engine().journal.last();
        let request = BindRequest { source: "gone", target: Target::Queue("q"), key: "", arguments: &NONE };
        let change = bench.broker.change("/", |topology| topology.bind(&request, |_| None));
        let Err(NotChanged::Refused(refusal)) = bench.until_ready(change) else { panic!("it is refused") };
        assert_eq!(refusal.to_string(), "no exchange 'gone' in vhost '/'");
        assert_eq!(bench.engine().journal.last(), before);
    }

    #[test]
    fn virtual_hosts_at_their_limit_are_added_and_beyond_it_refused() {
        let bench = Bench::new(1_000);
        let change = |name: &str| match bench.engine().change(name, |_| Ok(Vec::new())) {
            Ok(_) => None,
            Err(NotChanged::Failed(error)) => Some(error.kind()),
            Err(NotChanged::Refused(refusal)) => panic!("{refusal}"),
        };
        let there = bench.broker.virtual_hosts().len();
        for number in there..limits::VIRTUAL_HOSTS_MAX {
            assert_eq!(change(&number.to_string()), None);
        }
        assert_eq!(change("one more"), Some(Kind::Full));
        assert_eq!(change("99"), None, "it is there");
        assert_eq!(bench.broker.look("one more", Topology::exchange_count), 5, "it is as if new");
        let bench = Bench::new(1_000);
        assert!(bench.engine().hosts.find_or_add(&"v".repeat(limits::VIRTUAL_HOST_NAME_BYTES_MAX)).is_ok());
        assert!(
            bench.engine().hosts.find_or_add(&"v".repeat(limits::VIRTUAL_HOST_NAME_BYTES_MAX + 1)).is_err()
        );
    }
}
