//! Which exchanges go because something else does.

use std::collections::{HashMap, HashSet};

use super::binding::{Binding, Destination};
use super::change::Change;
use super::exchange::{Exchange, ExchangeName};
use super::topology::Topology;

/// The exchanges that go one after the other: one that deletes itself goes with the last binding that leads away from
/// it, and takes those with it that lead to it.
#[derive(Default)]
pub(super) struct Fall<'a> {
    /// What is gone and has bindings that lead to it.
    gone: Vec<Destination>,
    /// How many bindings an exchange has lost.
    lost: HashMap<&'a ExchangeName, usize>,
    taken: HashSet<&'a ExchangeName>,
    changes: Vec<Change>,
}

impl<'a> Fall<'a> {
    /// What a deleted exchange comes to: its own change, then those of the exchanges that go with it.
    pub(super) fn of_exchange(topology: &'a Topology, exchange: &'a Exchange) -> Vec<Change> {
        let mut fall = Self::default();
        fall.take(exchange);
        fall.through(topology)
    }

    /// What goes with a binding.
    pub(super) fn of_binding(topology: &'a Topology, binding: &Binding) -> Vec<Change> {
        let mut fall = Self::default();
        if let Some(exchange) = fall.lose(topology, binding.source(), 1) {
            fall.take(exchange);
        }
        fall.through(topology)
    }

    /// What goes with a queue.
    pub(super) fn of_queue(topology: &'a Topology, queue: Destination) -> Vec<Change> {
        Self { gone: vec![queue], ..Self::default() }.through(topology)
    }

    /// Takes so many bindings from an exchange, and tells it where it goes with them.
    fn lose(&mut self, topology: &'a Topology, source: &ExchangeName, count: usize) -> Option<&'a Exchange> {
        let node = topology.exchanges.get(source)?;
        let lost = self.lost.entry(&node.exchange.name).or_default();
        *lost += count;
        (node.exchange.auto_delete && *lost >= node.bindings.len()).then_some(&node.exchange)
    }

    fn take(&mut self, exchange: &'a Exchange) {
        if self.taken.insert(&exchange.name) {
            let (name, durable) = (exchange.name.clone(), exchange.durable);
            self.changes.push(Change::DeleteExchange { name: name.clone(), durable });
            self.gone.push(Destination::Exchange(name));
        }
    }

    fn through(mut self, topology: &'a Topology) -> Vec<Change> {
        while let Some(destination) = self.gone.pop() {
            for (source, count) in topology.sources.get(&destination).into_iter().flatten() {
                if let Some(exchange) = self.lose(topology, source, *count) {
                    self.take(exchange);
                }
            }
        }
        self.changes
    }
}
