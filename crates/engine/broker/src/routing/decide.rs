//! What becomes of a request to declare, delete, bind or unbind: a refusal, or the changes to be made.
//!
//! The order of the checks is RabbitMQ's, so that of several reasons the same one is told. Who may do what is decided
//! before, by the permissions of the user.

use std::collections::{HashMap, HashSet};

use forebay_core::limits;
use forebay_core::message::{Headers, Value};
use forebay_core::queue::QueueName;

use super::binding::{Binding, Destination};
use super::change::Change;
use super::codec;
use super::exchange::{ALTERNATE, Exchange, ExchangeKind, ExchangeName, RESERVED_PREFIX};
use super::refusal::{Reason, Refusal};
use super::table::headers::{MATCH, Mode, equal};
use super::term::{term, type_name};
use super::topology::{Topology, binding_bytes, exchange_bytes};

/// A request that an exchange be there.
#[derive(Clone, Copy, Debug)]
pub struct DeclareRequest<'a> {
    /// Its name.
    pub name: &'a str,
    /// The name of its kind.
    pub kind: &'a str,
    /// Whether it survives a restart.
    pub durable: bool,
    /// Whether it goes with the last binding that leads away from it.
    pub auto_delete: bool,
    /// Whether only other exchanges lead there.
    pub internal: bool,
    /// Its arguments.
    pub arguments: &'a Headers,
}

/// A request that a binding be there, or not.
#[derive(Clone, Copy, Debug)]
pub struct BindRequest<'a> {
    /// The exchange it leads away from.
    pub source: &'a str,
    /// Where it leads.
    pub target: Target<'a>,
    /// Its routing key.
    pub key: &'a str,
    /// Its arguments.
    pub arguments: &'a Headers,
}

/// The end of a binding, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A queue.
    Queue(&'a str),
    /// An exchange.
    Exchange(&'a str),
}

/// Whether a queue survives a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It does.
    Durable,
    /// It does not.
    Transient,
}

impl Topology {
    /// The exchange of this name, as a passive declare asks for it: whatever else that says does not count.
    pub fn exchange(&self, name: &str) -> Result<&Exchange, Refusal> {
        if name.is_empty() {
            return Err(Refusal::default_exchange());
        }
        self.exchanges.get(name).map(|node| &node.exchange).ok_or_else(|| self.vhost.no_exchange(name))
    }

    /// Decides a declare; `None` where the exchange is there and the same.
    pub fn declare(&self, request: &DeclareRequest<'_>) -> Result<Option<Change>, Refusal> {
        let DeclareRequest { name, kind, durable, auto_delete, internal, arguments } = *request;
        let Some(kind) = ExchangeKind::named(kind) else {
            let wrong = if kind.is_empty() { "invalid" } else { "unknown" };
            return Err(Refusal::new(Reason::UnknownKind, format!("{wrong} exchange type '{kind}'")));
        };
        if name.is_empty() {
            return Err(Refusal::default_exchange());
        }
        if let Some(node) = self.exchanges.get(name) {
            return self.check_same(request, kind, &node.exchange).map(|()| None);
        }
        if name.starts_with(RESERVED_PREFIX) {
            let text = format!("exchange name '{name}' contains reserved prefix 'amq.*'");
            return Err(Refusal::new(Reason::AccessRefused, text));
        }
        if let Some(alternate) = arguments.get(ALTERNATE).filter(|value| !matches!(value, Value::Text(_))) {
            let (given, place) = (type_name(alternate), self.vhost.exchange(name));
            let text = format!("invalid type '{given}' for arg '{ALTERNATE}' in {place}");
            return Err(Refusal::new(Reason::Argument, text));
        }
        check_arguments(arguments)?;
        let Some(exchange_name) = ExchangeName::new(name) else {
            return Err(too_long("exchange names", limits::EXCHANGE_NAME_BYTES_MAX));
        };
        let arguments = arguments.clone();
        let exchange = Exchange { name: exchange_name, kind, durable, auto_delete, internal, arguments };
        if self.exchange_count() >= limits::EXCHANGES_MAX {
            return Err(self.vhost.full("exchange", limits::EXCHANGES_MAX));
        }
        self.check_bytes("exchange", exchange_bytes(&exchange))?;
        Ok(Some(Change::DeclareExchange(exchange)))
    }

    fn check_same(
        &self,
        request: &DeclareRequest<'_>,
        kind: ExchangeKind,
        present: &Exchange,
    ) -> Result<(), Refusal> {
        let differ = |argument: &str, difference: String| {
            Err(self.vhost.inequivalent(request.name, argument, &difference))
        };
        let words =
            |received: &str, current: &str| format!("received '{received}' but current is '{current}'");
        if kind != present.kind {
            return differ("type", words(kind.as_str(), present.kind.as_str()));
        }
        let flags = [
            ("durable", request.durable, present.durable),
            ("auto_delete", request.auto_delete, present.auto_delete),
            ("internal", request.internal, present.internal),
        ];
        if let Some((flag, received, current)) = flags.into_iter().find(|(_, one, other)| one != other) {
            return differ(flag, words(&received.to_string(), &current.to_string()));
        }
        let (received, current) = (request.arguments.get(ALTERNATE), present.arguments.get(ALTERNATE));
        let valued = |value| format!("the value '{}' of type '{}'", shown(value), type_name(value));
        match (received, current) {
            (None, None) => Ok(()),
            (Some(received), Some(current)) if equal(received, current) => Ok(()),
            (Some(Value::Null), Some(current)) => {
                differ(ALTERNATE, format!("received none but current is '{}'", shown(current)))
            }
            (Some(received), Some(current)) => differ(ALTERNATE, words(&shown(received), &shown(current))),
            (Some(received), None) => {
                differ(ALTERNATE, format!("received {} but current is none", valued(received)))
            }
            (None, Some(current)) => {
                differ(ALTERNATE, format!("received none but current is {}", valued(current)))
            }
        }
    }

    /// Decides a delete: nothing where the exchange is not there. Other exchanges may go with it.
    pub fn delete(&self, name: &str, if_unused: bool) -> Result<Vec<Change>, Refusal> {
        if name.is_empty() {
            return Err(Refusal::default_exchange());
        }
        if name.starts_with(RESERVED_PREFIX) {
            let text = format!("deletion of system {} not allowed", self.vhost.exchange(name));
            return Err(Refusal::new(Reason::AccessRefused, text));
        }
        let Some(node) = self.exchanges.get(name) else {
            return Ok(Vec::new());
        };
        if if_unused && !node.bindings.is_empty() {
            return Err(Refusal::new(Reason::InUse, format!("{} in use", self.vhost.exchange(name))));
        }
        let mut fall = Fall::default();
        fall.take(&node.exchange);
        Ok(fall.through(self))
    }

    /// Decides a bind; `None` where the binding is there. `queue` says whether a queue is there, and how.
    pub fn bind(
        &self,
        request: &BindRequest<'_>,
        queue: impl Fn(&QueueName) -> Option<Durability>,
    ) -> Result<Option<Change>, Refusal> {
        let BindRequest { source, target, key, arguments } = *request;
        check_ends(source, target)?;
        let Some(node) = self.exchanges.get(source) else {
            return Err(self.vhost.no_exchange(source));
        };
        let (destination, durable) = match target {
            Target::Exchange(name) => match self.exchanges.get(name) {
                Some(node) => (Destination::Exchange(node.exchange.name.clone()), node.exchange.durable),
                None => return Err(self.vhost.no_exchange(name)),
            },
            Target::Queue(name) => {
                let known = QueueName::new(name).ok().and_then(|name| Some((queue(&name)?, name)));
                let Some((durability, name)) = known else {
                    return Err(self.vhost.no_queue(name));
                };
                (Destination::Queue(name), durability == Durability::Durable)
            }
        };
        if node.exchange.kind == ExchangeKind::Headers {
            check_match(arguments)?;
        }
        if key.len() > limits::ROUTING_KEY_BYTES_MAX {
            return Err(too_long("routing keys of bindings", limits::ROUTING_KEY_BYTES_MAX));
        }
        check_arguments(arguments)?;
        let durable = durable && node.exchange.durable;
        let binding = Binding::new(node.exchange.name.clone(), destination, key, arguments, durable);
        let Some(binding) = binding else {
            return Err(too_deep());
        };
        if node.bindings.contains(&binding) {
            return Ok(None);
        }
        if self.binding_count() >= limits::BINDINGS_MAX {
            return Err(self.vhost.full("binding", limits::BINDINGS_MAX));
        }
        self.check_bytes("binding", binding_bytes(&binding))?;
        Ok(Some(Change::Bind(binding)))
    }

    /// Decides an unbind: nothing where the binding or either end is not there. Exchanges may go with it.
    pub fn unbind(&self, request: &BindRequest<'_>) -> Result<Vec<Change>, Refusal> {
        let BindRequest { source, target, key, arguments } = *request;
        check_ends(source, target)?;
        let Some(binding) = self.present(source, target, key, arguments) else {
            return Ok(Vec::new());
        };
        let mut fall = Fall::default();
        let lost = fall.lose(self, binding.source(), 1);
        let mut changes = vec![Change::Unbind(binding.clone())];
        if let Some(exchange) = lost {
            fall.take(exchange);
        }
        changes.extend(fall.through(self));
        Ok(changes)
    }

    fn present(&self, source: &str, target: Target<'_>, key: &str, arguments: &Headers) -> Option<&Binding> {
        let node = self.exchanges.get(source)?;
        let destination = match target {
            Target::Queue(name) => Destination::Queue(QueueName::new(name).ok()?),
            Target::Exchange(name) => Destination::Exchange(ExchangeName::new(name)?),
        };
        let binding = Binding::new(node.exchange.name.clone(), destination, key, arguments, false)?;
        node.bindings.get(&binding)
    }

    /// What a deleted queue takes with it: its bindings, and the exchanges that go with those.
    pub fn queue_deleted(&self, queue: &QueueName) -> Vec<Change> {
        let destination = Destination::Queue(queue.clone());
        if !self.sources.contains_key(&destination) {
            return Vec::new();
        }
        let mut changes = vec![Change::ReleaseQueue(queue.clone())];
        changes.extend(Fall { gone: vec![destination], ..Fall::default() }.through(self));
        changes
    }

    fn check_bytes(&self, what: &str, bytes: usize) -> Result<(), Refusal> {
        if self.bytes() + bytes > limits::TOPOLOGY_BYTES_MAX {
            return Err(self.vhost.full(&format!("{what} (bytes)"), limits::TOPOLOGY_BYTES_MAX));
        }
        Ok(())
    }
}

/// The exchanges that go one after the other: one that deletes itself goes with the last binding that leads away from
/// it, and takes those with it that lead to it.
#[derive(Default)]
struct Fall<'a> {
    /// What is gone and has bindings that lead to it.
    gone: Vec<Destination>,
    /// How many bindings an exchange has lost.
    lost: HashMap<&'a ExchangeName, usize>,
    taken: HashSet<&'a ExchangeName>,
    changes: Vec<Change>,
}

impl<'a> Fall<'a> {
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

fn check_ends(source: &str, target: Target<'_>) -> Result<(), Refusal> {
    if source.is_empty() || target == Target::Exchange("") {
        return Err(Refusal::default_exchange());
    }
    Ok(())
}

fn check_match(arguments: &Headers) -> Result<(), Refusal> {
    let refuse = |text| Err(Refusal::new(Reason::Argument, text));
    match Mode::of(arguments) {
        Ok(_) => Ok(()),
        Err(value @ Value::Text(_)) => {
            let expected = "expected all, any, all-with-x, or any-with-x";
            refuse(format!("Invalid {MATCH} field value {}; {expected}", term(value)))
        }
        Err(value) => {
            let (given, value) = (type_name(value), term(value));
            refuse(format!("Invalid {MATCH} field type {given} (value {value}); expected longstr"))
        }
    }
}

fn check_arguments(arguments: &Headers) -> Result<(), Refusal> {
    match codec::table(arguments) {
        None => Err(too_deep()),
        Some(bytes) if bytes.len() > limits::HEADERS_BYTES_MAX => {
            Err(too_long("arguments", limits::HEADERS_BYTES_MAX))
        }
        Some(_) => Ok(()),
    }
}

fn too_deep() -> Refusal {
    let depth = limits::HEADERS_DEPTH_MAX;
    Refusal::new(Reason::Argument, format!("arguments lie at most {depth} deep inside each other"))
}

fn too_long(what: &str, limit: usize) -> Refusal {
    Refusal::new(Reason::Argument, format!("{what} have at most {limit} bytes"))
}

/// A value in an explanation: text as it is, anything else as a term.
fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        other => term(other),
    }
}
