//! An exchange: its name, its kind and how it was declared.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use forebay_core::limits;
use forebay_core::message::{Headers, Value};

/// The argument that names the exchange which takes what this one cannot route.
pub(super) const ALTERNATE: &str = "alternate-exchange";
/// What the names of exchanges begin with that clients neither declare nor delete.
pub(super) const RESERVED_PREFIX: &str = "amq.";

/// The exchanges that every virtual host has from its beginning, beside the default one, whose name is empty.
pub const PREDECLARED: [(&str, ExchangeKind); 5] = [
    ("amq.direct", ExchangeKind::Direct),
    ("amq.fanout", ExchangeKind::Fanout),
    ("amq.headers", ExchangeKind::Headers),
    ("amq.match", ExchangeKind::Headers),
    ("amq.topic", ExchangeKind::Topic),
];

/// The name of an exchange: 1 to 255 bytes. The default exchange has none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeName(Arc<str>);

impl ExchangeName {
    /// `None` where the text is empty or longer than a name can be.
    pub fn new(name: &str) -> Option<Self> {
        (1..=limits::EXCHANGE_NAME_BYTES_MAX).contains(&name.len()).then(|| Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ExchangeName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExchangeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ExchangeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// By what an exchange chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExchangeKind {
    /// The routing key is the binding's.
    Direct,
    /// Everything goes to every binding.
    Fanout,
    /// The routing key's words fit the binding's, in which `*` is any word and `#` any number of words.
    Topic,
    /// The message's headers fit the binding's arguments.
    Headers,
}

impl ExchangeKind {
    /// The kind of this name on the wire.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Direct, Self::Fanout, Self::Topic, Self::Headers]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }

    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
        }
    }
}

/// An exchange as it was declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// Its name.
    pub name: ExchangeName,
    /// By what it chooses.
    pub kind: ExchangeKind,
    /// It survives a restart.
    pub durable: bool,
    /// It goes when the last binding goes that leads away from it.
    pub auto_delete: bool,
    /// Clients cannot publish to it; only other exchanges lead there.
    pub internal: bool,
    /// The arguments as they were given.
    pub arguments: Headers,
}

impl Exchange {
    /// The exchange that takes what this one cannot route. It need not be there.
    pub fn alternate(&self) -> Option<&str> {
        match self.arguments.get(ALTERNATE) {
            Some(Value::Text(name)) => Some(name),
            _ => None,
        }
    }

    /// Whether every virtual host has it from its beginning.
    pub fn is_predeclared(&self) -> bool {
        PREDECLARED.iter().any(|(name, _)| *name == self.name.as_str())
    }
}
