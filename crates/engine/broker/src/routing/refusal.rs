//! Why something is refused: AMQP's reply code and the explanation, word for word as RabbitMQ 3.10 gives it.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use forebay_core::error::Kind;

/// A refused request. Its text is what follows the code's name and ` - ` in a reply text, which has room for 255 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    reason: Reason,
    text: String,
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The exchange or queue is not there.
    NotFound,
    /// Nobody may do that: it concerns the default exchange, a reserved name or an internal exchange.
    AccessRefused,
    /// It is there, but otherwise.
    Inequivalent,
    /// It is in use, and was to be removed only if it is not.
    InUse,
    /// An argument or header makes no sense.
    Argument,
    /// There is no such kind of exchange. This ends the connection, not only the channel.
    UnknownKind,
    /// A limit of this virtual host is reached, or one of the request is passed.
    Full,
}

impl Refusal {
    pub(super) fn new(reason: Reason, text: String) -> Self {
        Self { reason, text }
    }

    /// Why.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// AMQP's reply code.
    pub fn code(&self) -> u16 {
        match self.reason {
            Reason::NotFound => 404,
            Reason::AccessRefused => 403,
            Reason::Inequivalent | Reason::InUse | Reason::Argument | Reason::Full => 406,
            Reason::UnknownKind => 503,
        }
    }

    /// The class that other protocols answer by.
    pub fn kind(&self) -> Kind {
        match self.reason {
            Reason::NotFound => Kind::NotFound,
            Reason::Inequivalent | Reason::InUse => Kind::Conflict,
            Reason::AccessRefused | Reason::Argument | Reason::UnknownKind => Kind::Invalid,
            Reason::Full => Kind::Full,
        }
    }

    pub(super) fn default_exchange() -> Self {
        Self::new(Reason::AccessRefused, "operation not permitted on the default exchange".to_owned())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Refusal {}

/// The words about things of one virtual host.
#[derive(Clone, Debug)]
pub(super) struct Vhost(pub(super) Arc<str>);

impl Vhost {
    pub(super) fn no_exchange(&self, exchange: &str) -> Refusal {
        Refusal::new(Reason::NotFound, format!("no {}", self.exchange(exchange)))
    }

    pub(super) fn no_queue(&self, queue: &str) -> Refusal {
        Refusal::new(Reason::NotFound, format!("no queue '{queue}' in vhost '{}'", self.0))
    }

    pub(super) fn inequivalent(&self, exchange: &str, argument: &str, difference: &str) -> Refusal {
        let place = self.exchange(exchange);
        Refusal::new(Reason::Inequivalent, format!("inequivalent arg '{argument}' for {place}: {difference}"))
    }

    pub(super) fn full(&self, what: &str, limit: usize) -> Refusal {
        let text = format!("cannot add {what} in vhost '{}': limit of {limit} is reached", self.0);
        Refusal::new(Reason::Full, text)
    }

    /// The exchange with its place.
    pub(super) fn exchange(&self, exchange: &str) -> String {
        format!("exchange '{exchange}' in vhost '{}'", self.0)
    }
}
