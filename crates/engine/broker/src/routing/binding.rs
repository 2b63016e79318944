//! A binding: from which exchange messages go where, and under which condition.

use std::cmp::Ordering;
use std::sync::Arc;

use forebay_core::message::Headers;
use forebay_core::queue::QueueName;

use super::codec;
use super::exchange::ExchangeName;

/// Where a binding leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// To a queue.
    Queue(QueueName),
    /// To another exchange, or to the very same.
    Exchange(ExchangeName),
}

/// One binding. Two of the same source, destination, key and arguments are one and the same.
#[derive(Clone, Debug)]
pub struct Binding {
    source: ExchangeName,
    destination: Destination,
    key: Arc<str>,
    arguments: Headers,
    /// The arguments as bytes, by which they are compared: a NaN is itself there.
    identity: Box<[u8]>,
    durable: bool,
}

impl Binding {
    /// Takes the arguments in the order of their names. `None` where they lie too deep inside each other.
    pub(super) fn new(
        source: ExchangeName,
        destination: Destination,
        key: &str,
        arguments: &Headers,
        durable: bool,
    ) -> Option<Self> {
        let mut sorted: Vec<_> =
            arguments.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
        sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
        let arguments: Headers = sorted.into_iter().collect();
        let identity = if arguments.is_empty() { Box::default() } else { codec::table(&arguments)?.into() };
        Some(Self { source, destination, key: key.into(), arguments, identity, durable })
    }

    /// What sorts before every binding from `source` to `destination`.
    pub(crate) fn first(source: ExchangeName, destination: Destination) -> Self {
        let (key, arguments) = ("".into(), Headers::new());
        Self { source, destination, key, arguments, identity: Box::default(), durable: false }
    }

    /// The exchange it leads away from.
    pub fn source(&self) -> &ExchangeName {
        &self.source
    }

    /// Where it leads.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Its routing key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its arguments in the order of their names.
    pub fn arguments(&self) -> &Headers {
        &self.arguments
    }

    /// Whether it survives a restart: both its ends do.
    pub fn is_durable(&self) -> bool {
        self.durable
    }

    pub(super) fn shared_key(&self) -> Arc<str> {
        Arc::clone(&self.key)
    }

    /// The arguments as bytes; empty without any.
    pub(super) fn identity(&self) -> &[u8] {
        &self.identity
    }
}

impl Ord for Binding {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.source, &self.destination, &self.key, &self.identity).cmp(&(
            &other.source,
            &other.destination,
            &other.key,
            &other.identity,
        ))
    }
}

impl PartialOrd for Binding {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Binding {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Binding {}
