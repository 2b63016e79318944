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
        if exchange.is_empty() {
            let named = keys(key, headers)?.into_iter().filter_map(|key| QueueName::new(key).ok());
            return Ok(routed(named.filter(exists).collect()));
        }
        let Some(start) = self.exchanges.get(exchange) else {
            return Err(self.vhost.no_exchange(exchange));
        };
        if start.exchange.internal {
            let text = format!("cannot publish to internal {}", self.vhost.exchange(exchange));
            return Err(Refusal::new(Reason::AccessRefused, text));
        }
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
