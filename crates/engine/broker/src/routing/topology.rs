//! The exchanges and bindings of one virtual host, and how changes change them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use forebay_core::message::Headers;
use forebay_core::queue::QueueName;

use super::binding::{Binding, Destination};
use super::change::Change;
use super::codec;
use super::exchange::{Exchange, ExchangeName, PREDECLARED};
use super::refusal::Vhost;
use super::table::by_kind::Table;

/// What an exchange counts beside its name and arguments: itself, its place and its table.
const EXCHANGE_BYTES: usize = 512;
/// What a binding counts beside its key and arguments.
const BINDING_BYTES: usize = 640;
/// What a word of its key counts: a place in the tree of a topic exchange.
const WORD_BYTES: usize = 256;

/// The exchanges and bindings of one virtual host.
///
/// Requests are decided without changing anything; the changes they lead to are then applied. Whoever shares a topology
/// keeps it locked from the decision until the changes are applied, or they may no longer be right.
#[derive(Debug)]
pub struct Topology {
    pub(super) vhost: Vhost,
    pub(super) exchanges: HashMap<ExchangeName, Node>,
    /// From which exchanges bindings lead to a destination, and how many.
    pub(super) sources: HashMap<Destination, BTreeMap<ExchangeName, usize>>,
    bindings: usize,
    bytes: usize,
}

/// An exchange with the bindings that lead away from it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) exchange: Exchange,
    pub(super) bindings: BTreeSet<Binding>,
    pub(super) table: Table,
}

impl Topology {
    /// The virtual host of this name with nothing but the exchanges that every one has.
    pub fn new(vhost: &str) -> Self {
        let mut topology = Self {
            vhost: Vhost(vhost.into()),
            exchanges: HashMap::new(),
            sources: HashMap::new(),
            bindings: 0,
            bytes: 0,
        };
        for (name, kind) in PREDECLARED {
            let arguments = Headers::new();
            let name = ExchangeName::new(name);
            topology.exchanges.extend(name.map(|name| {
                let exchange =
                    Exchange { name, kind, durable: true, auto_delete: false, internal: false, arguments };
                (exchange.name.clone(), Node::new(exchange))
            }));
        }
        topology
    }

    /// The name of the virtual host.
    pub fn vhost(&self) -> &str {
        &self.vhost.0
    }

    /// All exchanges but the default one, by name.
    pub fn exchanges(&self) -> Vec<&Exchange> {
        let mut exchanges: Vec<_> = self.exchanges.values().map(|node| &node.exchange).collect();
        exchanges.sort_by(|one, other| one.name.cmp(&other.name));
        exchanges
    }

    /// How many exchanges there are, without the default one.
    pub fn exchange_count(&self) -> usize {
        self.exchanges.len()
    }

    /// How many bindings there are.
    pub fn binding_count(&self) -> usize {
        self.bindings
    }

    /// What exchanges and bindings take, as the limit counts it.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All bindings, by source, destination and key. Those by which the default exchange knows every queue are not among
    /// them.
    pub fn bindings(&self) -> impl Iterator<Item = &Binding> {
        self.exchanges().into_iter().flat_map(|exchange| self.bindings_from(exchange.name.as_str()))
    }

    /// The bindings that lead away from an exchange, by destination and key.
    pub fn bindings_from(&self, exchange: &str) -> impl Iterator<Item = &Binding> {
        self.exchanges.get(exchange).into_iter().flat_map(|node| &node.bindings)
    }

    /// The bindings that lead to a destination, by source and key.
    pub fn bindings_to<'a>(&'a self, destination: &'a Destination) -> impl Iterator<Item = &'a Binding> {
        let sources = self.sources.get(destination).into_iter().flat_map(BTreeMap::keys);
        sources.filter_map(|source| self.exchanges.get(source)).flat_map(move |node| node.to(destination))
    }

    /// Whether both ends of the binding are there; `exists` says so of queues.
    pub(crate) fn has_ends(&self, binding: &Binding, exists: impl Fn(&QueueName) -> bool) -> bool {
        self.exchanges.contains_key(binding.source())
            && match binding.destination() {
                Destination::Queue(queue) => exists(queue),
                Destination::Exchange(exchange) => self.exchanges.contains_key(exchange),
            }
    }

    /// The changes that make this virtual host's durable part out of a new one. Bindings come behind both their ends.
    pub fn durable_changes(&self) -> impl Iterator<Item = Change> {
        let exchanges = self.exchanges().into_iter();
        let declared = exchanges.filter(|exchange| exchange.durable && !exchange.is_predeclared());
        let bound = self.bindings().filter(|binding| binding.is_durable());
        declared.cloned().map(Change::DeclareExchange).chain(bound.cloned().map(Change::Bind))
    }

    /// Makes the change. One that has been made already, or for which there is nothing any more, changes nothing.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::DeclareExchange(exchange) => self.declare_exchange(exchange),
            Change::DeleteExchange { name, .. } => self.delete_exchange(name),
            Change::Bind(binding) => self.add(binding),
            Change::Unbind(binding) => self.remove(binding),
            Change::ReleaseQueue(queue) => self.release_queue(queue),
        }
    }

    fn declare_exchange(&mut self, exchange: &Exchange) {
        if !self.exchanges.contains_key(&exchange.name) {
            self.bytes += exchange_bytes(exchange);
            self.exchanges.insert(exchange.name.clone(), Node::new(exchange.clone()));
        }
    }

    fn delete_exchange(&mut self, name: &ExchangeName) {
        self.release(&Destination::Exchange(name.clone()));
        let Some(node) = self.exchanges.remove(name) else {
            return;
        };
        self.bytes = self.bytes.saturating_sub(exchange_bytes(&node.exchange));
        for binding in &node.bindings {
            self.forget(binding);
        }
    }

    fn release_queue(&mut self, queue: &QueueName) {
        self.release(&Destination::Queue(queue.clone()));
    }

    /// Removes every binding to the destination.
    fn release(&mut self, destination: &Destination) {
        let bindings: Vec<_> = self.bindings_to(destination).cloned().collect();
        for binding in bindings {
            self.remove(&binding);
        }
    }

    fn add(&mut self, binding: &Binding) {
        let Some(node) = self.exchanges.get_mut(binding.source()) else {
            return;
        };
        if node.bindings.insert(binding.clone()) {
            node.table.add(binding);
            let sources = self.sources.entry(binding.destination().clone()).or_default();
            *sources.entry(binding.source().clone()).or_default() += 1;
            self.bindings += 1;
            self.bytes += binding_bytes(binding);
        }
    }

    fn remove(&mut self, binding: &Binding) {
        let Some(node) = self.exchanges.get_mut(binding.source()) else {
            return;
        };
        if node.bindings.remove(binding) {
            node.table.remove(binding);
            self.forget(binding);
        }
    }

    /// Counts a binding out that its source no longer has.
    fn forget(&mut self, binding: &Binding) {
        if let Some(sources) = self.sources.get_mut(binding.destination()) {
            if let Some(count) = sources.get_mut(binding.source()) {
                *count -= 1;
                if *count == 0 {
                    sources.remove(binding.source());
                }
            }
            if sources.is_empty() {
                self.sources.remove(binding.destination());
            }
        }
        self.bindings -= 1;
        self.bytes = self.bytes.saturating_sub(binding_bytes(binding));
    }
}

impl Node {
    fn new(exchange: Exchange) -> Self {
        let table = Table::new(exchange.kind);
        Self { exchange, bindings: BTreeSet::new(), table }
    }

    /// The bindings that lead from here to the destination.
    fn to<'a>(&'a self, destination: &'a Destination) -> impl Iterator<Item = &'a Binding> {
        let first = Binding::first(self.exchange.name.clone(), destination.clone());
        self.bindings.range(first..).take_while(move |binding| binding.destination() == destination)
    }
}

/// What an exchange counts towards the bytes of a virtual host.
pub(super) fn exchange_bytes(exchange: &Exchange) -> usize {
    let arguments = codec::table(&exchange.arguments).map_or(0, |bytes| bytes.len());
    EXCHANGE_BYTES + 3 * (exchange.name.as_str().len() + arguments)
}

/// What a binding counts. Its arguments are kept five times: as they are and as bytes, here and beside the place of its
/// record, and in the table.
pub(super) fn binding_bytes(binding: &Binding) -> usize {
    let words = 1 + binding.key().bytes().filter(|byte| *byte == b'.').count();
    BINDING_BYTES + words * WORD_BYTES + binding.key().len() + 5 * binding.identity().len()
}

#[cfg(test)]
mod tests {
    use forebay_core::error::Kind;
    use forebay_core::limits;

    use super::*;
    use crate::routing::decide::{BindRequest, DeclareRequest, Durability, Target};

    fn declare<'a>(name: &'a str, arguments: &'a Headers) -> DeclareRequest<'a> {
        let (durable, auto_delete, internal) = (true, false, false);
        DeclareRequest { name, kind: "fanout", durable, auto_delete, internal, arguments }
    }

    fn bind<'a>(key: &'a str, arguments: &'a Headers) -> BindRequest<'a> {
        BindRequest { source: "amq.fanout", target: Target::Queue("q"), key, arguments }
    }

    fn durable(_: &QueueName) -> Option<Durability> {
        Some(Durability::Durable)
    }

    #[test]
    fn every_virtual_host_begins_with_its_predeclared_exchanges_and_logs_none_of_them() {
        let topology = Topology::new("/");
        let names: Vec<_> =
            topology.exchanges().iter().map(|exchange| exchange.name.as_str().to_owned()).collect();
        assert_eq!(names, ["amq.direct", "amq.fanout", "amq.headers", "amq.match", "amq.topic"]);
        assert!(topology.exchanges().iter().all(|exchange| exchange.durable && exchange.is_predeclared()));
        assert_eq!(topology.durable_changes().count(), 0);
        assert_eq!(topology.vhost(), "/");
    }

    #[test]
    fn exchanges_at_their_limit_are_taken_and_beyond_it_refused() {
        let (mut topology, none) = (Topology::new("/"), Headers::new());
        for number in PREDECLARED.len()..limits::EXCHANGES_MAX {
            let change = topology.declare(&declare(&number.to_string(), &none)).unwrap().unwrap();
            topology.apply(&change);
        }
        let refusal = topology.declare(&declare("more", &none)).unwrap_err();
        assert_eq!((refusal.kind(), refusal.code()), (Kind::Full, 406));
        assert_eq!(refusal.to_string(), "cannot add exchange in vhost '/': limit of 100000 is reached");
        assert_eq!(topology.declare(&declare("99999", &none)), Ok(None), "one that is there is no more");
    }

    #[test]
    fn bindings_at_their_limit_are_taken_and_beyond_it_refused() {
        let (mut topology, none) = (Topology::new("/"), Headers::new());
        topology.bindings = limits::BINDINGS_MAX - 1;
        let change = topology.bind(&bind("last", &none), durable).unwrap().unwrap();
        topology.apply(&change);
        assert_eq!(topology.bind(&bind("more", &none), durable).unwrap_err().kind(), Kind::Full);
        assert_eq!(topology.bind(&bind("last", &none), durable), Ok(None));
        topology.unbind(&bind("last", &none)).unwrap().iter().for_each(|change| topology.apply(change));
        assert!(topology.bind(&bind("more", &none), durable).is_ok());
    }

    #[test]
    fn bytes_at_their_limit_are_taken_and_beyond_it_refused() {
        let (mut topology, none) = (Topology::new("/"), Headers::new());
        let Some(Change::Bind(binding)) = topology.bind(&bind("a.b", &none), durable).unwrap() else {
            panic!("it is not there yet");
        };
        topology.bytes = limits::TOPOLOGY_BYTES_MAX - binding_bytes(&binding);
        assert!(topology.bind(&bind("a.b", &none), durable).is_ok());
        assert_eq!(topology.bind(&bind("a.b.c", &none), durable).unwrap_err().kind(), Kind::Full);
        topology.apply(&Change::Bind(binding));
        assert_eq!(topology.bytes(), limits::TOPOLOGY_BYTES_MAX);
        assert_eq!(topology.declare(&declare("x", &none)).unwrap_err().kind(), Kind::Full);
    }

    #[test]
    fn arguments_in_another_order_are_the_same_binding_as_rabbitmq_3_10_answers() {
        let mut topology = Topology::new("/");
        let table = |names: [&str; 2]| -> Headers {
            names.into_iter().map(|name| (name.to_owned(), name.into())).collect()
        };
        let change = topology.bind(&bind("k", &table(["b", "a"])), durable).unwrap().unwrap();
        topology.apply(&change);
        assert_eq!(topology.bind(&bind("k", &table(["a", "b"])), durable), Ok(None));
        assert!(topology.bind(&bind("k", &table(["a", "c"])), durable).unwrap().is_some());
        assert_eq!(topology.unbind(&bind("k", &table(["a", "c"]))), Ok(Vec::new()));
        assert_eq!(topology.unbind(&bind("k", &table(["a", "b"]))).unwrap().len(), 1);
    }

    #[test]
    fn a_change_for_which_nothing_is_there_changes_nothing() {
        let (mut topology, none) = (Topology::new("/"), Headers::new());
        let declared = topology.declare(&declare("x", &none)).unwrap().unwrap();
        topology.apply(&declared);
        let request = BindRequest { source: "x", ..bind("k", &none) };
        let bound = topology.bind(&request, durable).unwrap().unwrap();
        let deleted = topology.delete("x", false).unwrap();
        for _ in 0..2 {
            deleted.iter().for_each(|change| topology.apply(change));
            topology.apply(&bound);
            let Change::Bind(binding) = &bound else { panic!("a bind was decided") };
            topology.apply(&Change::Unbind(binding.clone()));
        }
        assert_eq!((topology.binding_count(), topology.bytes()), (0, 0));
        for _ in 0..2 {
            topology.apply(&declared);
            topology.apply(&bound);
        }
        assert_eq!((topology.binding_count(), topology.exchange_count()), (1, PREDECLARED.len() + 1));
    }
}
