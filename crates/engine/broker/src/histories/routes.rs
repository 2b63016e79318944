//! Exchanges and bindings that clients declare, bind, unbind and delete.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use forebay_core::message::Headers;
use forebay_core::queue::QueueName;

use super::model::Change;
use super::world::{Seen, World};
use crate::routing::binding::{Binding, Destination};
use crate::routing::change::Change as RouteChange;
use crate::routing::decide::{BindRequest, DeclareRequest, Durability, Target};
use crate::routing::refusal::Refusal;
use crate::routing::topology::Topology;
use crate::virtual_hosts::NotChanged;

const EXCHANGES: [&str; 4] = ["x", "goes", "brief x", "goes"];
const QUEUES: [&str; 4] = ["short", "dead", "brief", "short"];

/// What of exchanges and bindings survives a restart, in plain words.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Routes {
    exchanges: BTreeMap<String, bool>,
    /// Source, whether to a queue, destination, key.
    bindings: BTreeSet<(String, bool, String, String)>,
}

fn words(binding: &Binding) -> (String, bool, String, String) {
    let (is_queue, name) = match binding.destination() {
        Destination::Queue(name) => (true, name.to_string()),
        Destination::Exchange(name) => (false, name.to_string()),
    };
    (binding.source().to_string(), is_queue, name, binding.key().to_owned())
}

fn unbind(topology: &Topology, binding: &Binding) -> Result<Vec<RouteChange>, Refusal> {
    let target = match binding.destination() {
        Destination::Queue(name) => Target::Queue(name.as_str()),
        Destination::Exchange(name) => Target::Exchange(name.as_str()),
    };
    let (key, arguments) = (binding.key(), binding.arguments());
    topology.unbind(&BindRequest { source: binding.source().as_str(), target, key, arguments })
}

impl Routes {
    pub(super) fn apply(&mut self, change: &RouteChange) {
        match change {
            RouteChange::DeclareExchange(exchange) => {
                self.exchanges.insert(exchange.name.to_string(), exchange.auto_delete);
            }
            RouteChange::DeleteExchange { name, .. } => {
                let name = name.as_str();
                self.exchanges.remove(name);
                self.bindings.retain(|(source, is_queue, to, _)| source != name && (*is_queue || to != name));
            }
            RouteChange::Bind(binding) => drop(self.bindings.insert(words(binding))),
            RouteChange::Unbind(binding) => drop(self.bindings.remove(&words(binding))),
            RouteChange::ReleaseQueue(queue) => {
                self.bindings.retain(|(_, is_queue, to, _)| !is_queue || to != queue.as_str());
            }
        }
    }
}

impl Routes {
    /// The queues that are bound to this exchange.
    pub(super) fn queues_of(&self, exchange: &str) -> BTreeSet<&str> {
        let bindings = self.bindings.iter().filter(|(source, is_queue, ..)| source == exchange && *is_queue);
        bindings.map(|(_, _, to, _)| to.as_str()).collect()
    }
}

impl World {
    /// What the broker has, in the same words.
    pub(super) fn routes(&self) -> Routes {
        let mut routes = Routes::default();
        let engine = self.engine();
        let host = engine.hosts.find_or_add("/").unwrap();
        host.read().topology.durable_changes().for_each(|change| routes.apply(&change));
        routes
    }

    pub(super) fn route(&mut self, seen: &mut Seen) {
        let none = Headers::new();
        let act = self.random.below(9);
        let exchange = EXCHANGES[self.random.below(4) as usize];
        let target = match self.random.below(3) {
            0 => Target::Exchange(EXCHANGES[self.random.below(4) as usize]),
            _ => Target::Queue(QUEUES[self.random.below(4) as usize]),
        };
        let nth = self.random.below(3) as usize;
        let key = ["", "k"][self.random.below(2) as usize];
        let mut decided = Vec::new();
        let (changed, sequences) = self.appended(|engine| {
            engine.change("/", |topology| {
                let bind = BindRequest { source: exchange, target, key, arguments: &none };
                let queue = |name: &_| {
                    let durable = !Self::is_of_process(engine.topology.find(name).ok()?.name.as_str());
                    Some(if durable { Durability::Durable } else { Durability::Transient })
                };
                let declare = DeclareRequest {
                    name: exchange,
                    kind: "topic",
                    durable: exchange != "brief x",
                    auto_delete: exchange == "goes",
                    internal: false,
                    arguments: &none,
                };
                decided = match act {
                    0..2 => topology.declare(&declare)?.into_iter().collect(),
                    2..7 => topology.bind(&bind, queue)?.into_iter().collect(),
                    7 => match topology.bindings().nth(nth) {
                        Some(binding) => unbind(topology, binding)?,
                        None => topology.unbind(&bind)?,
                    },
                    _ => topology.delete(exchange, false)?,
                };
                Ok(decided.clone())
            })
        });
        let what = match act {
            0..2 => "exchange declared",
            2..7 => "bound",
            7 => "unbound",
            _ => "exchange deleted",
        };
        self.tell_routes(changed, sequences, decided, what, seen);
    }

    /// Tells the model what was decided, if that was written.
    pub(super) fn tell_routes(
        &mut self,
        changed: Result<u64, NotChanged>,
        sequences: RangeInclusive<u64>,
        mut decided: Vec<RouteChange>,
        what: &'static str,
        seen: &mut Seen,
    ) {
        decided.retain(|change| change.encode("/").is_some());
        for sequence in sequences {
            self.story.tell(sequence, Change::Route(std::mem::take(&mut decided)));
            seen.note(what, 1);
        }
        match changed {
            Ok(sequence) => {
                assert!(decided.is_empty(), "all was written, in one record");
                self.wait_for(sequence);
            }
            Err(NotChanged::Refused(_)) => assert!(decided.is_empty()),
            Err(NotChanged::Failed(error)) => self.expect_trouble(error.kind()),
        }
    }

    /// What the deletion of a queue takes with it.
    pub(super) fn routes_of(&self, queue: u64) -> Vec<RouteChange> {
        let name = QueueName::new(&self.story.model.queues[&queue].name).unwrap();
        let engine = self.engine();
        let host = engine.hosts.find_or_add("/").unwrap();
        let changes = host.read().topology.queue_deleted(&name);
        changes.into_iter().filter(|change| change.encode("/").is_some()).collect()
    }
}
