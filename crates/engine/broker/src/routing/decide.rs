//! What becomes of a request to declare, delete, bind or unbind: a refusal, or the changes to be made.
//!
//! The order of the checks is RabbitMQ's, so that of several reasons the same one is told. Who may do what is decided
//! before, by the permissions of the user.

use forebay_core::limits;
use forebay_core::message::{Headers, Value};
use forebay_core::queue::QueueName;

use super::binding::{Binding, Destination};
use super::change::Change;
use super::codec;
use super::exchange::{ALTERNATE, Exchange, ExchangeKind, ExchangeName, RESERVED_PREFIX};
use super::fall::Fall;
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
        Ok(Fall::of_exchange(self, &node.exchange))
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
        let mut changes = vec![Change::Unbind(binding.clone())];
        changes.extend(Fall::of_binding(self, binding));
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
        changes.extend(Fall::of_queue(self, destination));
        changes
    }

    fn check_bytes(&self, what: &str, bytes: usize) -> Result<(), Refusal> {
        if self.bytes() + bytes > limits::TOPOLOGY_BYTES_MAX {
            return Err(self.vhost.full(&format!("{what} (bytes)"), limits::TOPOLOGY_BYTES_MAX));
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn table<const N: usize>(pairs: [(&str, Value); N]) -> Headers {
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn declare(name: &'static str, kind: &'static str) -> DeclareRequest<'static> {
        static NONE: Headers = Headers::new();
        DeclareRequest { name, kind, durable: false, auto_delete: false, internal: false, arguments: &NONE }
    }

    fn make(topology: &mut Topology, request: &DeclareRequest<'_>) {
        let change = topology.declare(request).unwrap().unwrap();
        topology.apply(&change);
    }

    /// `x` of kind direct; `y` the same with the alternate exchange `ae`.
    fn two() -> Topology {
        let mut topology = Topology::new("/");
        make(&mut topology, &declare("x", "direct"));
        let arguments = table([(ALTERNATE, "ae".into())]);
        make(&mut topology, &DeclareRequest { arguments: &arguments, ..declare("y", "direct") });
        topology
    }

    /// The queue `q` is there, and no other.
    fn only_q(name: &QueueName) -> Option<Durability> {
        (name.as_str() == "q").then_some(Durability::Durable)
    }

    fn said<T: std::fmt::Debug>(decided: Result<T, Refusal>) -> String {
        let refusal = decided.unwrap_err();
        format!("{} {refusal}", refusal.code())
    }

    #[test]
    fn declares_are_refused_in_the_words_of_rabbitmq_3_10() {
        let topology = two();
        let cases = [
            (declare("amq.foo", "direct"), "403 exchange name 'amq.foo' contains reserved prefix 'amq.*'"),
            (declare("", "direct"), "403 operation not permitted on the default exchange"),
            (declare("u", "nope"), "503 unknown exchange type 'nope'"),
            (declare("u", ""), "503 invalid exchange type ''"),
            (declare("u", "Direct"), "503 unknown exchange type 'Direct'"),
            (declare("", "nope"), "503 unknown exchange type 'nope'"),
            (declare("amq.foo", "nope"), "503 unknown exchange type 'nope'"),
            (declare("x", "nope"), "503 unknown exchange type 'nope'"),
            (
                declare("amq.direct", "direct"),
                "406 inequivalent arg 'durable' for exchange 'amq.direct' in vhost '/': received 'false' but current is 'true'",
            ),
            (
                declare("x", "fanout"),
                "406 inequivalent arg 'type' for exchange 'x' in vhost '/': received 'fanout' but current is 'direct'",
            ),
            (
                DeclareRequest { durable: true, auto_delete: true, internal: true, ..declare("x", "fanout") },
                "406 inequivalent arg 'type' for exchange 'x' in vhost '/': received 'fanout' but current is 'direct'",
            ),
            (
                DeclareRequest { durable: true, auto_delete: true, internal: true, ..declare("x", "direct") },
                "406 inequivalent arg 'durable' for exchange 'x' in vhost '/': received 'true' but current is 'false'",
            ),
            (
                DeclareRequest { auto_delete: true, internal: true, ..declare("x", "direct") },
                "406 inequivalent arg 'auto_delete' for exchange 'x' in vhost '/': received 'true' but current is 'false'",
            ),
            (
                DeclareRequest {
                    internal: true,
                    arguments: &table([(ALTERNATE, "q".into())]),
                    ..declare("x", "direct")
                },
                "406 inequivalent arg 'internal' for exchange 'x' in vhost '/': received 'true' but current is 'false'",
            ),
            (
                declare("y", "direct"),
                "406 inequivalent arg 'alternate-exchange' for exchange 'y' in vhost '/': received none but current is the value 'ae' of type 'longstr'",
            ),
        ];
        for (request, words) in cases {
            assert_eq!(said(topology.declare(&request)), words);
        }
        assert_eq!(topology.declare(&declare("u", "nope")).unwrap_err().reason(), Reason::UnknownKind);
    }

    #[test]
    fn alternates_are_refused_in_the_words_of_rabbitmq_3_10() {
        let topology = two();
        let nested = Value::Table(table([("a", Value::Int(1))]));
        let list = Value::List(vec!["a".into()]);
        let differs = [
            ("x", Value::from("q"), "the value 'q' of type 'longstr' but current is none"),
            ("x", Value::Int(1), "the value '1' of type 'signedint' but current is none"),
            ("x", Value::Null, "the value 'undefined' of type 'void' but current is none"),
            (
                "x",
                nested.clone(),
                "the value '[{<<\"a\">>,signedint,1}]' of type 'table' but current is none",
            ),
            ("x", Value::Bool(false), "the value 'false' of type 'bool' but current is none"),
            ("x", list.clone(), "the value '[{longstr,<<\"a\">>}]' of type 'array' but current is none"),
            ("x", Value::Float(1.5), "the value '1.5' of type 'double' but current is none"),
            ("y", "other".into(), "'other' but current is 'ae'"),
            ("y", Value::Null, "none but current is 'ae'"),
            ("y", Value::Int(5), "'5' but current is 'ae'"),
            ("y", Value::Bool(true), "'true' but current is 'ae'"),
            ("y", nested.clone(), "'[{<<\"a\">>,signedint,1}]' but current is 'ae'"),
            ("y", list, "'[{longstr,<<\"a\">>}]' but current is 'ae'"),
            ("y", Value::Float(1e30), "'1.0e30' but current is 'ae'"),
        ];
        for (name, value, words) in differs {
            let arguments = table([(ALTERNATE, value)]);
            let decided =
                topology.declare(&DeclareRequest { arguments: &arguments, ..declare(name, "direct") });
            let place = format!("for exchange '{name}' in vhost '/'");
            assert_eq!(
                said(decided),
                format!("406 inequivalent arg 'alternate-exchange' {place}: received {words}")
            );
        }
        let wrong = [
            (Value::Int(1), "signedint"),
            (Value::Int(1 << 40), "long"),
            (Value::UInt(1), "unsignedint"),
            (Value::Bool(true), "bool"),
            (Value::Null, "void"),
            (nested, "table"),
            (Value::Bytes(b"ae".to_vec()), "binary"),
            (Value::Float(1.0), "double"),
        ];
        for (value, kind) in wrong {
            let arguments = table([(ALTERNATE, value)]);
            let request = DeclareRequest { arguments: &arguments, ..declare("new", "direct") };
            let words = format!(
                "406 invalid type '{kind}' for arg 'alternate-exchange' in exchange 'new' in vhost '/'"
            );
            assert_eq!(said(topology.declare(&request)), words);
            let reserved = DeclareRequest { name: "amq.new", ..request };
            assert!(said(topology.declare(&reserved)).starts_with("403 "));
        }
    }

    #[test]
    fn a_declare_of_the_same_changes_nothing_as_rabbitmq_3_10_answers() {
        let topology = two();
        let other = table([("x-foo", Value::Int(1))]);
        let bytes = table([(ALTERNATE, Value::Bytes(b"ae".to_vec()))]);
        for same in [
            declare("x", "direct"),
            DeclareRequest { arguments: &other, ..declare("x", "direct") },
            DeclareRequest { arguments: &bytes, ..declare("y", "direct") },
            DeclareRequest { durable: true, ..declare("amq.direct", "direct") },
        ] {
            assert_eq!(topology.declare(&same), Ok(None));
        }
        for alternate in ["", "amq.nope", "new", "a\r\ne"] {
            let arguments = table([(ALTERNATE, alternate.into())]);
            let request = DeclareRequest { arguments: &arguments, ..declare("new", "fanout") };
            assert!(matches!(topology.declare(&request), Ok(Some(Change::DeclareExchange(_)))));
        }
    }

    #[test]
    fn a_passive_declare_finds_what_is_there_in_the_words_of_rabbitmq_3_10() {
        let topology = two();
        assert_eq!(topology.exchange("amq.direct").unwrap().kind, ExchangeKind::Direct);
        assert_eq!(said(topology.exchange("")), "403 operation not permitted on the default exchange");
        assert_eq!(said(topology.exchange("gone")), "404 no exchange 'gone' in vhost '/'");
        assert_eq!(said(topology.exchange("amq.missing")), "404 no exchange 'amq.missing' in vhost '/'");
    }

    #[test]
    fn deletes_are_refused_in_the_words_of_rabbitmq_3_10() {
        let mut topology = two();
        let none = Headers::new();
        let link = BindRequest { source: "x", target: Target::Exchange("y"), key: "", arguments: &none };
        let change = topology.bind(&link, only_q).unwrap().unwrap();
        topology.apply(&change);
        let system = |name| format!("403 deletion of system exchange '{name}' in vhost '/' not allowed");
        assert_eq!(said(topology.delete("", false)), "403 operation not permitted on the default exchange");
        assert_eq!(said(topology.delete("amq.direct", false)), system("amq.direct"));
        assert_eq!(said(topology.delete("amq.nope", true)), system("amq.nope"));
        assert_eq!(said(topology.delete("x", true)), "406 exchange 'x' in vhost '/' in use");
        assert_eq!(topology.delete("gone", true), Ok(Vec::new()));
        assert_eq!(topology.delete("y", true).unwrap().len(), 1, "a destination is not in use");
    }

    #[test]
    fn binds_and_unbinds_answer_as_rabbitmq_3_10() {
        let topology = two();
        let none = Headers::new();
        let default = "403 operation not permitted on the default exchange";
        let no_exchange = "404 no exchange 'gone' in vhost '/'";
        let cases = [
            ("gone", Target::Queue("q"), no_exchange),
            ("x", Target::Queue("lost"), "404 no queue 'lost' in vhost '/'"),
            ("gone", Target::Queue("lost"), no_exchange),
            ("", Target::Queue("q"), default),
            ("", Target::Queue("lost"), default),
            ("x", Target::Queue("x"), "404 no queue 'x' in vhost '/'"),
            ("gone", Target::Exchange("y"), no_exchange),
            ("x", Target::Exchange("gone"), no_exchange),
            ("gone", Target::Exchange("lost"), no_exchange),
            ("", Target::Exchange("y"), default),
            ("y", Target::Exchange(""), default),
            ("gone", Target::Exchange(""), default),
            ("", Target::Exchange(""), default),
        ];
        for (source, target, words) in cases {
            let request = BindRequest { source, target, key: "", arguments: &none };
            assert_eq!(said(topology.bind(&request, only_q)), words);
            // What is not there need not be unbound.
            let unbound = topology.unbind(&request);
            if words == default {
                assert_eq!(said(unbound), default);
            } else {
                assert_eq!(unbound, Ok(Vec::new()));
            }
        }
        let itself = BindRequest { source: "x", target: Target::Exchange("x"), key: "", arguments: &none };
        assert!(topology.bind(&itself, only_q).unwrap().is_some());
    }

    #[test]
    fn modes_of_headers_are_refused_in_the_words_of_rabbitmq_3_10() {
        let topology = two();
        let text = |shown: &str| {
            format!("406 Invalid x-match field value {shown}; expected all, any, all-with-x, or any-with-x")
        };
        let wrong = |kind: &str, value: &str| {
            format!("406 Invalid x-match field type {kind} (value {value}); expected longstr")
        };
        let cases = [
            ("some".into(), text("<<\"some\">>")),
            ("ALL".into(), text("<<\"ALL\">>")),
            ("it's \"\\".into(), text("<<\"it's \\\"\\\\\">>")),
            ("é".into(), text("<<\"é\">>")),
            ("".into(), text("<<>>")),
            ("a\nb\u{1}".into(), text("<<97,10,98,1>>")),
            (Value::Int(1), wrong("signedint", "1")),
            (Value::Bool(true), wrong("bool", "true")),
            (Value::Null, wrong("void", "undefined")),
            (Value::Bytes(b"all".to_vec()), wrong("binary", "<<\"all\">>")),
            (Value::Float(1.0), wrong("double", "1.0")),
            (Value::Table(table([("a", Value::Int(1))])), wrong("table", "[{<<\"a\">>,signedint,1}]")),
            (Value::List(vec![Value::Int(1)]), wrong("array", "[{signedint,1}]")),
        ];
        for (value, words) in cases {
            let arguments = table([(MATCH, value)]);
            let request = |source, target| BindRequest { source, target, key: "", arguments: &arguments };
            let (q, lost) = (Target::Queue("q"), Target::Queue("lost"));
            assert_eq!(said(topology.bind(&request("amq.headers", q), only_q)), words);
            assert_eq!(
                said(topology.bind(&request("amq.match", lost), only_q)),
                "404 no queue 'lost' in vhost '/'"
            );
            assert_eq!(topology.unbind(&request("amq.headers", q)), Ok(Vec::new()));
            assert!(topology.bind(&request("amq.direct", q), only_q).unwrap().is_some());
        }
    }

    #[test]
    fn exchanges_go_one_after_the_other_as_rabbitmq_3_10_answers() {
        let none = Headers::new();
        let link = |source, target| BindRequest { source, target, key: "", arguments: &none };
        // a leads to b, b to c, c to the queue.
        let chain = || {
            let mut topology = Topology::new("/");
            for name in ["a", "b", "c"] {
                make(&mut topology, &DeclareRequest { auto_delete: true, ..declare(name, "fanout") });
            }
            for (source, target) in
                [("a", Target::Exchange("b")), ("b", Target::Exchange("c")), ("c", Target::Queue("q"))]
            {
                let change = topology.bind(&link(source, target), only_q).unwrap().unwrap();
                topology.apply(&change);
            }
            topology
        };
        let left = |decide: &dyn Fn(&Topology) -> Vec<Change>| {
            let mut topology = chain();
            decide(&topology).iter().for_each(|change| topology.apply(change));
            ["a", "b", "c"].into_iter().filter(|name| topology.exchange(name).is_ok()).collect::<String>()
        };
        assert_eq!(left(&|chain| chain.queue_deleted(&QueueName::new("q").unwrap())), "");
        assert_eq!(left(&|chain| chain.unbind(&link("c", Target::Queue("q"))).unwrap()), "");
        assert_eq!(left(&|chain| chain.delete("c", false).unwrap()), "");
        assert_eq!(left(&|chain| chain.delete("b", false).unwrap()), "c");
        assert_eq!(left(&|chain| chain.delete("a", false).unwrap()), "bc");
        assert_eq!(left(&|chain| chain.unbind(&link("a", Target::Exchange("b"))).unwrap()), "bc");
    }

    #[test]
    fn names_keys_and_arguments_at_their_limits_are_taken_and_beyond_them_refused() {
        let topology = two();
        let name = |bytes: usize| {
            topology.declare(&DeclareRequest { name: &"n".repeat(bytes), ..declare("", "topic") })
        };
        assert!(name(limits::EXCHANGE_NAME_BYTES_MAX).is_ok());
        assert_eq!(name(limits::EXCHANGE_NAME_BYTES_MAX + 1).unwrap_err().code(), 406);
        let bind = |key: &str, arguments: &Headers| {
            topology.bind(
                &BindRequest { source: "amq.topic", target: Target::Queue("q"), key, arguments },
                only_q,
            )
        };
        let none = Headers::new();
        assert!(bind(&".".repeat(limits::ROUTING_KEY_BYTES_MAX), &none).is_ok());
        assert_eq!(bind(&".".repeat(limits::ROUTING_KEY_BYTES_MAX + 1), &none).unwrap_err().code(), 406);
        // Beside the text: a count, the length of the name, the name, a tag, the length of the text.
        let sized = |bytes: usize| table([("a", "v".repeat(bytes - 12).into())]);
        assert!(bind("", &sized(limits::HEADERS_BYTES_MAX)).is_ok());
        assert_eq!(bind("", &sized(limits::HEADERS_BYTES_MAX + 1)).unwrap_err().code(), 406);
        let deep =
            |depth: usize| (1..depth).fold(none.clone(), |inner, _| table([("a", Value::Table(inner))]));
        assert!(bind("", &deep(limits::HEADERS_DEPTH_MAX)).is_ok());
        assert_eq!(bind("", &deep(limits::HEADERS_DEPTH_MAX + 1)).unwrap_err().code(), 406);
        let arguments = deep(limits::HEADERS_DEPTH_MAX + 1);
        let declared = topology.declare(&DeclareRequest { arguments: &arguments, ..declare("new", "topic") });
        assert_eq!(declared.unwrap_err().code(), 406);
    }
}
