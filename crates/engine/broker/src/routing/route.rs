//! The way of a message from the exchange it was published to, to the queues.

use std::collections::HashSet;

use forebay_core::message::{Headers, Value};
use forebay_core::queue::QueueName;

use super::binding::Destination;
use super::refusal::{Reason, Refusal};
use super::table::by_kind::Sought;
use super::term;
use super::topology::Topology;

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed {
    /// The queues by name, each once.
    pub queues: Vec<QueueName>,
}

impl Routed {
    /// True where no queue takes the message: one that is mandatory goes back.
    pub fn is_unroutable(&self) -> bool {
        self.queues.is_empty()
    }
}

impl Topology {
    /// Where a message goes that is published to `exchange`, which is the default one where it is empty: to the queues
    /// of its keys for which `exists` is true.
    ///
    /// The keys are `key` and those that the headers `CC` and `BCC` list. From every exchange on the way the message
    /// goes where bindings lead, and where none fits to its alternate exchange, if that is there; no exchange is passed
    /// twice. An exchange without a fitting binding that was reached through another uses its own alternate, and is no
    /// reason to use the other's.
    pub fn route(
        &self,
        exchange: &str,
        key: &str,
        headers: &Headers,
        exists: impl Fn(&QueueName) -> bool,
    ) -> Result<Routed, Refusal> {
        if self.exchanges.get(exchange).is_some_and(|node| node.exchange.internal) {
            let text = format!("cannot publish to internal {}", self.vhost.exchange(exchange));
            return Err(Refusal::new(Reason::AccessRefused, text));
        }
        self.pass_on(exchange, key, headers, exists)
    }

    /// Where a message goes that the broker itself sends through an exchange: as one that is published there, but an internal
    /// one takes it, too.
    pub fn pass_on(
        &self,
        exchange: &str,
        key: &str,
        headers: &Headers,
        exists: impl Fn(&QueueName) -> bool,
    ) -> Result<Routed, Refusal> {
        if exchange.is_empty() {
            let named = keys(key, headers)?.into_iter().filter_map(|key| QueueName::new(key).ok());
            return Ok(routed(named.filter(exists).collect()));
        }
        let Some(start) = self.exchanges.get(exchange) else {
            return Err(self.vhost.no_exchange(exchange));
        };
        let sought = Sought::new(keys(key, headers)?, headers);
        let mut queues = Vec::new();
        let mut seen = HashSet::from([start.exchange.name.as_str()]);
        let mut ahead = vec![start];
        let mut found = Vec::new();
        while let Some(node) = ahead.pop() {
            found.clear();
            node.table.find(&sought, &mut found);
            let alternate = if found.is_empty() { node.exchange.alternate() } else { None };
            let bound = found.iter().filter_map(|destination| match destination {
                Destination::Exchange(name) => Some(name.as_str()),
                Destination::Queue(_) => None,
            });
            for next in bound.chain(alternate).filter_map(|name| self.exchanges.get(name)) {
                if seen.insert(next.exchange.name.as_str()) {
                    ahead.push(next);
                }
            }
            queues.extend(found.iter().filter_map(|destination| match destination {
                Destination::Queue(name) => Some(name.clone()),
                Destination::Exchange(_) => None,
            }));
        }
        Ok(routed(queues))
    }
}

fn routed(mut queues: Vec<QueueName>) -> Routed {
    queues.sort_unstable();
    queues.dedup();
    Routed { queues }
}

/// The routing key and those in the headers, each once. What is no text in their lists is no key.
fn keys<'a>(key: &'a str, headers: &'a Headers) -> Result<Vec<&'a str>, Refusal> {
    let mut keys = vec![key];
    for header in ["CC", "BCC"] {
        match headers.get(header) {
            None => {}
            Some(Value::List(values)) => keys.extend(values.iter().filter_map(|value| match value {
                Value::Text(key) => Some(key.as_str()),
                _ => None,
            })),
            Some(other) => {
                let kind = term::type_name(other);
                let text = format!("invalid message: {{unacceptable_type_in_header,\"{header}\",{kind}}}");
                return Err(Refusal::new(Reason::Argument, text));
            }
        }
    }
    if keys.len() > 1 {
        keys.sort_unstable();
        keys.dedup();
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::decide::{BindRequest, DeclareRequest, Durability, Target};

    fn table<const N: usize>(pairs: [(&str, Value); N]) -> Headers {
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn make(topology: &mut Topology, name: &str, kind: &str, alternate: Option<&str>, internal: bool) {
        let alternate = alternate.map(|name| ("alternate-exchange".to_owned(), name.into()));
        let arguments = alternate.into_iter().collect();
        let (durable, auto_delete) = (false, false);
        let request = DeclareRequest { name, kind, durable, auto_delete, internal, arguments: &arguments };
        let change = topology.declare(&request).unwrap().unwrap();
        topology.apply(&change);
    }

    fn bind(topology: &mut Topology, source: &str, target: Target<'_>, key: &str) {
        let request = BindRequest { source, target, key, arguments: &Headers::new() };
        let change = topology.bind(&request, |_| Some(Durability::Durable)).unwrap().unwrap();
        topology.apply(&change);
    }

    /// The queues, where those whose names begin with `q` are there.
    fn routed(topology: &Topology, exchange: &str, key: &str, headers: &Headers) -> Vec<String> {
        let routed = topology.route(exchange, key, headers, |name| name.as_str().starts_with('q')).unwrap();
        assert_eq!(routed.is_unroutable(), routed.queues.is_empty());
        routed.queues.iter().map(|name| name.as_str().to_owned()).collect()
    }

    #[test]
    fn publishes_are_refused_in_the_words_of_rabbitmq_3_10() {
        let mut topology = Topology::new("/");
        make(&mut topology, "int", "fanout", None, true);
        let wrong = |header: &str, kind: &str| {
            format!("406 invalid message: {{unacceptable_type_in_header,\"{header}\",{kind}}}")
        };
        let (cc, bcc) = ("CC", "BCC");
        let internal = "403 cannot publish to internal exchange 'int' in vhost '/'".to_owned();
        let gone = "404 no exchange 'gone' in vhost '/'".to_owned();
        let text = || Value::from("q");
        let cases = [
            ("int", table([]), internal.clone()),
            ("gone", table([]), gone.clone()),
            ("gone", table([(cc, text())]), gone),
            ("int", table([(cc, text())]), internal),
            ("", table([(cc, text())]), wrong(cc, "longstr")),
            ("amq.fanout", table([(cc, Value::Int(1))]), wrong(cc, "signedint")),
            ("", table([(cc, Value::Int(1 << 40))]), wrong(cc, "long")),
            ("", table([(cc, Value::Null)]), wrong(cc, "void")),
            ("", table([(cc, Value::Table(Headers::new()))]), wrong(cc, "table")),
            ("", table([(bcc, text())]), wrong(bcc, "longstr")),
            ("", table([(bcc, text()), (cc, Value::Bool(true))]), wrong(cc, "bool")),
        ];
        for (exchange, headers, words) in cases {
            let refusal = topology.route(exchange, "q", &headers, |_| true).unwrap_err();
            assert_eq!(format!("{} {refusal}", refusal.code()), words);
        }
    }

    #[test]
    fn copies_go_to_every_key_and_each_queue_once_as_rabbitmq_3_10_answers() {
        let mut topology = Topology::new("/");
        let list = |keys: &[&str]| Value::List(keys.iter().map(|key| (*key).into()).collect());
        let copies = table([("CC", list(&["q2", "q2", "gone"])), ("BCC", list(&["q1", "q3"]))]);
        assert_eq!(routed(&topology, "", "q1", &copies), ["q1", "q2", "q3"]);
        assert_eq!(routed(&topology, "", "gone", &copies), ["q1", "q2", "q3"]);
        assert!(routed(&topology, "", "gone", &table([("cc", list(&["q1"]))])).is_empty());
        let mixed = Value::List(vec![Value::Int(1), Value::Bytes(b"q2".to_vec()), "q".into()]);
        assert_eq!(routed(&topology, "", "gone", &table([("CC", mixed)])), ["q"]);

        for (queue, key) in [("q1", "a"), ("q2", "b"), ("q1", "b")] {
            bind(&mut topology, "amq.direct", Target::Queue(queue), key);
            bind(&mut topology, "amq.fanout", Target::Queue(queue), key);
        }
        let copies = table([("CC", list(&["b", "b"])), ("BCC", list(&["a"]))]);
        assert_eq!(routed(&topology, "amq.direct", "a", &copies), ["q1", "q2"]);
        assert_eq!(routed(&topology, "amq.direct", "a", &Headers::new()), ["q1"]);
        assert_eq!(routed(&topology, "amq.fanout", "", &Headers::new()), ["q1", "q2"]);
        // A key in a header may be longer than any other.
        bind(&mut topology, "amq.topic", Target::Queue("q"), "#.end");
        let long = table([("CC", list(&[&format!("{}end", "w.".repeat(400))]))]);
        assert_eq!(routed(&topology, "amq.topic", "z", &long), ["q"]);
    }

    #[test]
    fn alternates_take_what_has_no_other_way_as_rabbitmq_3_10_answers() {
        let mut topology = Topology::new("/");
        let none = Headers::new();
        make(&mut topology, "ae", "fanout", None, true);
        bind(&mut topology, "ae", Target::Queue("qa"), "");
        make(&mut topology, "x", "direct", Some("ae"), false);
        assert_eq!(routed(&topology, "x", "k", &none), ["qa"], "an internal one too");
        bind(&mut topology, "x", Target::Queue("q"), "k");
        assert_eq!(routed(&topology, "x", "k", &none), ["q"]);
        let copied = table([("CC", Value::List(vec!["other".into()]))]);
        assert_eq!(routed(&topology, "x", "k", &copied), ["q"], "some key is enough");

        make(&mut topology, "dead end", "direct", None, false);
        make(&mut topology, "top", "fanout", Some("ae"), false);
        bind(&mut topology, "top", Target::Exchange("dead end"), "");
        assert!(routed(&topology, "top", "k", &none).is_empty(), "a binding that leads nowhere is one");

        make(&mut topology, "sub", "direct", Some("ae"), false);
        bind(&mut topology, "top", Target::Exchange("sub"), "");
        bind(&mut topology, "top", Target::Queue("q"), "");
        assert_eq!(routed(&topology, "top", "k", &none), ["q", "qa"], "everyone uses its own");

        make(&mut topology, "to default", "fanout", Some(""), false);
        make(&mut topology, "to nothing", "fanout", Some("gone"), false);
        assert!(routed(&topology, "to default", "q", &none).is_empty());
        assert!(routed(&topology, "to nothing", "q", &none).is_empty());
    }

    #[test]
    fn cycles_end_as_rabbitmq_3_10_answers() {
        let mut topology = Topology::new("/");
        let none = Headers::new();
        make(&mut topology, "s1", "direct", Some("s2"), false);
        make(&mut topology, "s2", "direct", Some("s1"), false);
        assert!(routed(&topology, "s1", "k", &none).is_empty());
        bind(&mut topology, "s2", Target::Queue("q"), "k");
        assert_eq!(routed(&topology, "s1", "k", &none), ["q"]);

        for (name, next) in [("e1", "e2"), ("e2", "e1")] {
            make(&mut topology, name, "fanout", Some(next), false);
        }
        for (source, target) in [("e1", "e2"), ("e2", "e1"), ("e1", "e1")] {
            bind(&mut topology, source, Target::Exchange(target), "");
        }
        bind(&mut topology, "e2", Target::Queue("q"), "");
        assert_eq!(routed(&topology, "e1", "", &none), ["q"]);
    }
}
