//! Where the log has the exchanges and bindings that survive a restart.
//!
//! Recovery keeps the same account, and makes the exchanges and bindings out of it only at the end: what an exchange or a
//! binding was declared with may have been carried forward behind what leads to it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::routing::binding::{Binding, Destination};
use crate::routing::change::Change;
use crate::routing::exchange::{Exchange, ExchangeName};
use crate::storage::journal::Stored;

/// The durable part of one virtual host, with the record of each.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    exchanges: HashMap<ExchangeName, (Exchange, Stored)>,
    bindings: HashMap<ExchangeName, BTreeMap<Binding, Stored>>,
    /// From which exchanges bindings lead to a destination.
    sources: HashMap<Destination, BTreeSet<ExchangeName>>,
}

impl Routes {
    /// Makes the change, which lies in `stored` if it brings something; what is not durable has no record. Returns the
    /// records that live no more.
    pub(crate) fn apply(&mut self, change: &Change, stored: Option<Stored>) -> Vec<Stored> {
        match (change, stored) {
            (Change::DeclareExchange(exchange), Some(stored)) => {
                let before = self.exchanges.insert(exchange.name.clone(), (exchange.clone(), stored));
                before.into_iter().map(|(_, stored)| stored).collect()
            }
            (Change::Bind(binding), Some(stored)) => {
                let source = binding.source().clone();
                self.sources.entry(binding.destination().clone()).or_default().insert(source.clone());
                self.bindings.entry(source).or_default().insert(binding.clone(), stored).into_iter().collect()
            }
            (Change::DeclareExchange(_) | Change::Bind(_), None) => Vec::new(),
            (Change::Unbind(binding), _) => self.unbind(binding).into_iter().collect(),
            (Change::ReleaseQueue(queue), _) => self.release(&Destination::Queue(queue.clone())),
            (Change::DeleteExchange { name, .. }, _) => {
                let mut died = self.release(&Destination::Exchange(name.clone()));
                for (binding, stored) in self.bindings.remove(name).into_iter().flatten() {
                    self.forget_source(binding.destination(), name);
                    died.push(stored);
                }
                died.extend(self.exchanges.remove(name).map(|(_, stored)| stored));
                died
            }
        }
    }

    /// Ends every binding to the destination.
    fn release(&mut self, destination: &Destination) -> Vec<Stored> {
        let mut died = Vec::new();
        for source in self.sources.remove(destination).into_iter().flatten() {
            let first = Binding::first(source.clone(), destination.clone());
            let Some(bindings) = self.bindings.get_mut(&source) else { continue };
            let leads_there =
                bindings.range(first..).take_while(|(binding, _)| binding.destination() == destination);
            let ended: Vec<_> = leads_there.map(|(binding, _)| binding.clone()).collect();
            died.extend(ended.iter().filter_map(|binding| bindings.remove(binding)));
            if bindings.is_empty() {
                self.bindings.remove(&source);
            }
        }
        died
    }

    fn unbind(&mut self, binding: &Binding) -> Option<Stored> {
        let (source, destination) = (binding.source(), binding.destination());
        let bindings = self.bindings.get_mut(source)?;
        let stored = bindings.remove(binding);
        let first = Binding::first(source.clone(), destination.clone());
        let next = bindings.range(first..).next().map(|(binding, _)| binding.destination());
        let is_last = next != Some(destination);
        if bindings.is_empty() {
            self.bindings.remove(source);
        }
        if is_last {
            self.forget_source(destination, source);
        }
        stored
    }

    fn forget_source(&mut self, destination: &Destination, source: &ExchangeName) {
        if let Some(sources) = self.sources.get_mut(destination) {
            sources.remove(source);
            if sources.is_empty() {
                self.sources.remove(destination);
            }
        }
    }

    /// Where the record lies of what the change brings.
    pub(crate) fn find(&self, change: &Change) -> Option<Stored> {
        match change {
            Change::DeclareExchange(exchange) => {
                self.exchanges.get(&exchange.name).map(|(_, stored)| *stored)
            }
            Change::Bind(binding) => self.bindings.get(binding.source())?.get(binding).copied(),
            _ => None,
        }
    }

    pub(crate) fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        self.exchanges.values().map(|(exchange, _)| exchange)
    }

    pub(crate) fn bindings(&self) -> impl Iterator<Item = &Binding> {
        self.bindings.values().flat_map(BTreeMap::keys)
    }

    /// Everything, as the changes that bring it.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Change, Stored)> {
        let exchanges = self.exchanges.values();
        let declared =
            exchanges.map(|(exchange, stored)| (Change::DeclareExchange(exchange.clone()), *stored));
        let bindings = self.bindings.values().flatten();
        declared.chain(bindings.map(|(binding, stored)| (Change::Bind(binding.clone()), *stored)))
    }

    /// Where the log has all of it.
    pub(crate) fn stored(&self) -> impl Iterator<Item = Stored> {
        let exchanges = self.exchanges.values().map(|(_, stored)| *stored);
        exchanges.chain(self.bindings.values().flat_map(BTreeMap::values).copied())
    }
}
