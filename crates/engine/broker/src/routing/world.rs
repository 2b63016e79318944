//! Random histories of one virtual host, against a plain model of what AMQP promises.

use std::collections::{BTreeMap, BTreeSet};

use forebay_contract::random::Random;
use forebay_core::message::{Headers, Value};
use forebay_core::queue::QueueName;

use super::binding::{Binding, Destination};
use super::change::Change;
use super::decide::{BindRequest, DeclareRequest, Durability, Target};
use super::exchange::PREDECLARED;
use super::table::topic::naive;
use super::topology::Topology;

/// An exchange as the model keeps it.
struct Exchange {
    kind: &'static str,
    durable: bool,
    auto_delete: bool,
    internal: bool,
    alternate: Option<String>,
}

/// A binding as the model keeps it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Bound {
    source: String,
    to_queue: bool,
    target: String,
    key: String,
    mode: Option<&'static str>,
    wanted: Vec<(&'static str, i64)>,
    durable: bool,
}

impl Bound {
    fn arguments(&self) -> Headers {
        let mode = self.mode.map(|mode| ("x-match".to_owned(), mode.into()));
        let wanted = self.wanted.iter().map(|(name, value)| ((*name).to_owned(), Value::Int(*value)));
        wanted.chain(mode).collect()
    }

    fn fits(&self, kind: &str, keys: &[String], headers: &BTreeMap<&str, i64>) -> bool {
        match kind {
            "direct" => keys.contains(&self.key),
            "fanout" => true,
            "topic" => keys.iter().any(|key| naive(&self.key, key)),
            _ => {
                let mode = self.mode.unwrap_or("all");
                let counts = |name: &str| mode.ends_with("-with-x") || !name.starts_with("x-");
                let mut wanted = self.wanted.iter().filter(|(name, _)| counts(name));
                let fits = |(name, value): &(&str, i64)| headers.get(name) == Some(value);
                if mode.starts_with("any") { wanted.any(fits) } else { wanted.all(fits) }
            }
        }
    }
}

/// How often what matters was seen.
#[derive(Debug, Default)]
struct Seen {
    routed: usize,
    unroutable: usize,
    through_alternate: usize,
    through_exchanges: usize,
    auto_deleted: usize,
    /// Exchanges that took others with them.
    chains: usize,
    already: usize,
}

struct World {
    random: Random,
    topology: Topology,
    exchanges: BTreeMap<String, Exchange>,
    queues: BTreeMap<String, bool>,
    bindings: BTreeSet<Bound>,
    /// What a log would keep: changes as bytes, and the names of queues that are gone.
    log: Vec<Result<Vec<u8>, QueueName>>,
    seen: Seen,
}

fn of<T: Copy>(random: &mut Random, choices: &[T]) -> T {
    choices[random.below(choices.len() as u64) as usize]
}

fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

impl World {
    fn new(seed: u64) -> Self {
        let predeclared = PREDECLARED.map(|(name, kind)| {
            let kind = kind.as_str();
            let exchange =
                Exchange { kind, durable: true, auto_delete: false, internal: false, alternate: None };
            (name.to_owned(), exchange)
        });
        Self {
            random: Random::new(seed),
            topology: Topology::new("v"),
            exchanges: predeclared.into(),
            queues: BTreeMap::new(),
            bindings: BTreeSet::new(),
            log: Vec::new(),
            seen: Seen::default(),
        }
    }

    fn exchange_name(&mut self) -> String {
        match self.random.below(8) {
            0 => of(&mut self.random, &["amq.topic", "amq.match", "amq.fanout"]).to_owned(),
            number => format!("e{number}"),
        }
    }

    fn key(&mut self) -> String {
        let count = self.random.below(4);
        (0..count).map(|_| of(&mut self.random, &["a", "b", "*", "#", ""])).collect::<Vec<_>>().join(".")
    }

    fn act(&mut self) {
        match self.random.below(20) {
            0..3 => self.declare(),
            3 => self.delete(),
            4..6 => {
                let (name, durable) = (format!("q{}", self.random.below(6)), self.random.one_in(2));
                self.queues.entry(name).or_insert(durable);
            }
            6 => self.delete_queue(),
            7..13 => self.bind(),
            13..15 => self.unbind(),
            _ => self.publish(),
        }
    }

    fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            self.log.extend(change.encode("v").map(Ok));
            self.topology.apply(change);
        }
        let deleted = changes.iter().filter(|change| matches!(change, Change::DeleteExchange { .. })).count();
        self.seen.chains += usize::from(deleted > 1);
    }

    fn declare(&mut self) {
        let name = self.exchange_name();
        let kind = of(&mut self.random, &["direct", "fanout", "topic", "headers"]);
        let alternate = self.random.one_in(2).then(|| self.exchange_name());
        let (durable, auto_delete) = (self.random.one_in(2), !self.random.one_in(4));
        let internal = self.random.one_in(6);
        let given = alternate.iter().map(|name| ("alternate-exchange".to_owned(), name.as_str().into()));
        let arguments = given.collect();
        let request =
            DeclareRequest { name: &name, kind, durable, auto_delete, internal, arguments: &arguments };
        let decided = self.topology.declare(&request);
        if let Some(present) = self.exchanges.get(&name) {
            let same = (present.kind, present.durable, present.auto_delete, present.internal)
                == (kind, durable, auto_delete, internal)
                && present.alternate == alternate;
            self.seen.already += usize::from(same);
            assert_eq!(decided.ok(), same.then_some(None));
            return;
        }
        self.apply(&[decided.unwrap().unwrap()]);
        self.exchanges.insert(name, Exchange { kind, durable, auto_delete, internal, alternate });
    }

    fn delete(&mut self) {
        let (name, if_unused) = (self.exchange_name(), self.random.one_in(2));
        let decided = self.topology.delete(&name, if_unused);
        let used = self.bindings.iter().any(|bound| bound.source == name);
        if name.starts_with("amq.") || (if_unused && used) {
            assert!(decided.is_err());
            return;
        }
        self.apply(&decided.unwrap());
        self.exchanges.remove(&name);
        self.drop_bindings(|bound| bound.source == name || (!bound.to_queue && bound.target == name));
    }

    fn delete_queue(&mut self) {
        let name = format!("q{}", self.random.below(6));
        if self.queues.remove(&name).is_some() {
            self.log.push(Err(queue(&name)));
            let changes = self.topology.queue_deleted(&queue(&name));
            self.apply(&changes);
            self.drop_bindings(|bound| bound.to_queue && bound.target == name);
        }
    }

    /// Removes bindings from the model, and one after the other the exchanges that go with them.
    fn drop_bindings(&mut self, gone: impl Fn(&Bound) -> bool) {
        let mut lost: Vec<_> = self.bindings.extract_if(.., |bound| gone(bound)).collect();
        while let Some(bound) = lost.pop() {
            let left = self.bindings.iter().any(|other| other.source == bound.source);
            let auto_delete = self.exchanges.get(&bound.source).is_some_and(|exchange| exchange.auto_delete);
            if auto_delete && !left {
                self.seen.auto_deleted += 1;
                self.exchanges.remove(&bound.source);
                let led = |other: &Bound| !other.to_queue && other.target == bound.source;
                lost.extend(self.bindings.extract_if(.., |other| led(other)));
            }
        }
    }

    fn some_bound(&mut self) -> Bound {
        let to_queue = self.random.one_in(2);
        let names = ["a", "b", "x-c"];
        let wanted: BTreeMap<_, _> = (0..self.random.below(3))
            .map(|_| (of(&mut self.random, &names), self.random.below(2) as i64))
            .collect();
        let modes = [None, Some("all"), Some("any"), Some("all-with-x"), Some("any-with-x")];
        Bound {
            source: self.exchange_name(),
            to_queue,
            target: if to_queue { format!("q{}", self.random.below(6)) } else { self.exchange_name() },
            key: self.key(),
            mode: of(&mut self.random, &modes),
            wanted: wanted.into_iter().collect(),
            durable: false,
        }
    }

    fn bind(&mut self) {
        let mut bound = self.some_bound();
        let arguments = bound.arguments();
        let durability = |durable: &bool| if *durable { Durability::Durable } else { Durability::Transient };
        let decided = self
            .topology
            .bind(&request(&bound, &arguments), |name| self.queues.get(name.as_str()).map(durability));
        let source = self.exchanges.get(&bound.source).map(|exchange| exchange.durable);
        let target = if bound.to_queue {
            self.queues.get(&bound.target).copied()
        } else {
            self.exchanges.get(&bound.target).map(|exchange| exchange.durable)
        };
        let (Some(source), Some(target)) = (source, target) else {
            assert_eq!(decided.unwrap_err().code(), 404);
            return;
        };
        bound.durable = source && target;
        let decided = decided.unwrap();
        assert_eq!(decided.is_some(), self.bindings.insert(bound));
        self.seen.already += usize::from(decided.is_none());
        self.apply(decided.as_slice());
    }

    fn unbind(&mut self) {
        let count = self.bindings.len() as u64;
        let place = self.random.below(count.max(1)) as usize;
        let present = self.bindings.iter().nth(place).cloned();
        let strange = self.random.one_in(4);
        let bound = present.filter(|_| !strange).unwrap_or_else(|| self.some_bound());
        let arguments = bound.arguments();
        let changes = self.topology.unbind(&request(&bound, &arguments)).unwrap();
        self.apply(&changes);
        self.drop_bindings(|other| Bound { durable: other.durable, ..bound.clone() } == *other);
    }

    fn publish(&mut self) {
        let exchange = self.exchange_name();
        let (key, copies) = (self.key(), (0..self.random.below(3)).map(|_| self.key()).collect::<Vec<_>>());
        let header = of(&mut self.random, &["CC", "BCC"]);
        let given: BTreeMap<_, _> = ["a", "b", "x-c"]
            .into_iter()
            .filter(|_| self.random.one_in(2))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|name| (name, self.random.below(2) as i64))
            .collect();
        let mut headers: Headers =
            given.iter().rev().map(|(name, value)| ((*name).to_owned(), Value::Int(*value))).collect();
        headers.set(header, Value::List(copies.iter().map(|key| key.as_str().into()).collect()));
        let routed = self.topology.route(&exchange, &key, &headers, |_| panic!("bound queues are known"));
        let Some(start) = self.exchanges.get(&exchange) else {
            assert_eq!(routed.unwrap_err().code(), 404);
            return;
        };
        if start.internal {
            assert_eq!(routed.unwrap_err().code(), 403);
            return;
        }
        let keys: Vec<_> = copies.into_iter().chain([key]).collect();
        let (mut reached, mut ahead) = (BTreeSet::new(), vec![exchange]);
        let mut passed = BTreeSet::new();
        while let Some(name) = ahead.pop() {
            let Some(exchange) = self.exchanges.get(&name) else {
                continue;
            };
            if !passed.insert(name.clone()) {
                continue;
            }
            let from = self.bindings.iter().filter(|bound| bound.source == name);
            let fitting: Vec<_> = from.filter(|bound| bound.fits(exchange.kind, &keys, &given)).collect();
            for bound in &fitting {
                if bound.to_queue {
                    reached.insert(queue(&bound.target));
                } else {
                    self.seen.through_exchanges += 1;
                    ahead.push(bound.target.clone());
                }
            }
            if let Some(alternate) = exchange.alternate.as_ref().filter(|_| fitting.is_empty()) {
                self.seen.through_alternate += 1;
                ahead.push(alternate.clone());
            }
        }
        let routed = routed.unwrap();
        assert_eq!(routed.is_unroutable(), reached.is_empty());
        *if reached.is_empty() { &mut self.seen.unroutable } else { &mut self.seen.routed } += 1;
        assert_eq!(routed.queues, reached.into_iter().collect::<Vec<_>>());
    }

    /// Everything that can be asked is as the model has it.
    fn check(&self) {
        let names: Vec<_> =
            self.topology.exchanges().iter().map(|exchange| exchange.name.as_str().to_owned()).collect();
        assert_eq!(names, self.exchanges.keys().cloned().collect::<Vec<_>>());
        let all: BTreeSet<_> = self.topology.bindings().map(line).collect();
        assert_eq!(all, self.bindings.iter().map(expected).collect::<BTreeSet<_>>());
        assert_eq!(self.topology.binding_count(), self.bindings.len());
        for binding in self.topology.bindings() {
            let to = binding.destination();
            let led: BTreeSet<_> = self.topology.bindings_to(to).map(line).collect();
            let same_end: BTreeSet<_> =
                self.topology.bindings().filter(|other| other.destination() == to).map(line).collect();
            assert_eq!(led, same_end);
        }
    }

    /// What the log makes of a new virtual host, and what its durable changes make of one, is the durable part.
    fn check_restart(&self) {
        let mut replayed = Topology::new("v");
        for record in &self.log {
            match record {
                Ok(bytes) => {
                    let (vhost, change) = Change::decode(bytes).unwrap();
                    assert_eq!(vhost, "v");
                    replayed.apply(&change);
                }
                Err(queue) => replayed.apply(&Change::ReleaseQueue(queue.clone())),
            }
        }
        let mut remade = Topology::new("v");
        self.topology.durable_changes().for_each(|change| remade.apply(&change));
        let durable = self.exchanges.iter().filter(|(_, exchange)| exchange.durable);
        let durable: Vec<_> = durable.map(|(name, _)| name.as_str()).collect();
        let lines: BTreeSet<_> = self.bindings.iter().filter(|bound| bound.durable).map(expected).collect();
        for topology in [&replayed, &remade] {
            let names: Vec<_> =
                topology.exchanges().into_iter().map(|exchange| exchange.name.as_str()).collect();
            assert_eq!(names, durable);
            assert_eq!(topology.bindings().map(line).collect::<BTreeSet<_>>(), lines);
            let changes: Vec<_> = topology.durable_changes().collect();
            assert_eq!(changes, self.topology.durable_changes().collect::<Vec<_>>());
        }
    }

    /// Nothing is left behind by what is gone.
    fn clear(mut self) -> Seen {
        for name in self.queues.keys() {
            let changes = self.topology.queue_deleted(&queue(name));
            changes.iter().for_each(|change| self.topology.apply(change));
        }
        let bindings: Vec<_> = self.topology.bindings().cloned().map(Change::Unbind).collect();
        bindings.iter().for_each(|change| self.topology.apply(change));
        for name in self.exchanges.keys().filter(|name| !name.starts_with("amq.")) {
            let changes = self.topology.delete(name, true).unwrap();
            changes.iter().for_each(|change| self.topology.apply(change));
        }
        assert_eq!(self.topology.exchange_count(), PREDECLARED.len());
        assert_eq!((self.topology.binding_count(), self.topology.bytes()), (0, 0));
        assert!(self.topology.sources.is_empty());
        self.seen
    }
}

fn request<'a>(bound: &'a Bound, arguments: &'a Headers) -> BindRequest<'a> {
    let target = if bound.to_queue { Target::Queue(&bound.target) } else { Target::Exchange(&bound.target) };
    BindRequest { source: &bound.source, target, key: &bound.key, arguments }
}

/// A binding in words that both sides can say.
fn line(binding: &Binding) -> String {
    let (to_queue, target) = match binding.destination() {
        Destination::Queue(name) => (true, name.as_str()),
        Destination::Exchange(name) => (false, name.as_str()),
    };
    let (source, key, durable) = (binding.source(), binding.key(), binding.is_durable());
    format!("{source} {to_queue} {target} {key:?} {durable} {:?}", binding.arguments())
}

fn expected(bound: &Bound) -> String {
    let Bound { source, to_queue, target, key, durable, .. } = bound;
    let mut arguments: Vec<_> =
        bound.arguments().iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
    arguments.sort_by(|(one, _), (other, _)| one.cmp(other));
    let arguments: Headers = arguments.into_iter().collect();
    format!("{source} {to_queue} {target} {key:?} {durable} {arguments:?}")
}

#[test]
fn every_history_is_as_the_model_says_and_its_durable_part_survives_a_restart() {
    let mut all = Seen::default();
    for seed in 0..300 {
        let mut world = World::new(seed);
        for _ in 0..60 {
            (0..5).for_each(|_| world.act());
            world.check();
        }
        world.check_restart();
        let seen = world.clear();
        all.routed += seen.routed;
        all.unroutable += seen.unroutable;
        all.through_alternate += seen.through_alternate;
        all.through_exchanges += seen.through_exchanges;
        all.auto_deleted += seen.auto_deleted;
        all.chains += seen.chains;
        all.already += seen.already;
    }
    let counts = [all.routed, all.unroutable, all.through_alternate, all.through_exchanges, all.auto_deleted];
    assert!(counts.into_iter().all(|count| count > 500) && all.chains > 50 && all.already > 50, "{all:?}");
}
