//! One error type: what happened, to what, because of what, and whether trying again can help.

use std::error::Error as StdError;
use std::fmt;

/// The result of a port or a rule.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, in the few classes that callers and protocols tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The request itself is wrong: a bad name, an impossible option.
    Invalid,
    /// The named queue, key or delivery is not there.
    NotFound,
    /// It is there already, and differs from what was asked for.
    Conflict,
    /// A key, value, message or batch is over its limit.
    TooLarge,
    /// A bound was reached (queue length, log space, open batch): back-pressure, not failure.
    Full,
    /// The peer or engine cannot be reached just now. Whoever waits for it pauses and goes on.
    Unavailable,
    /// It was closed by its owner, and stays so: whoever waits for it comes to an end.
    Closed,
    /// A write or sync failed; nothing more is confirmed until a restart has recovered the log.
    Poisoned,
    /// Stored bytes do not match their checksum. They are never served.
    Damaged,
    /// The operating system refused a read, write or socket operation.
    Io,
    /// The backend does not offer this; the capability says so.
    Unsupported,
}

/// Whether the same call may succeed when made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Not without changing the request or repairing something.
    Never,
    /// Yes, after a pause.
    Later,
}

/// A failed operation. Expected outcomes (a miss, a settled delivery) are not errors.
///
/// ```
/// use forebay_core::error::{Error, Kind, Retry};
///
/// let error = Error::new(Kind::Full, "publish to queue", "orders");
/// assert_eq!((error.kind(), error.retry()), (Kind::Full, Retry::Later));
/// assert_eq!(error.to_string(), "publish to queue orders: full, try again later");
/// ```
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    retry: Retry,
    operation: &'static str,
    context: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// `operation` says what was attempted ("publish to queue"), `context` on what ("orders"); never a value.
    pub fn new(kind: Kind, operation: &'static str, context: impl Into<String>) -> Self {
        let retry = match kind {
            Kind::Full | Kind::Unavailable => Retry::Later,
            Kind::Invalid
            | Kind::NotFound
            | Kind::Conflict
            | Kind::TooLarge
            | Kind::Closed
            | Kind::Poisoned
            | Kind::Damaged
            | Kind::Io
            | Kind::Unsupported => Retry::Never,
        };
        Self { kind, retry, operation, context: context.into(), source: None }
    }

    /// The same error with the cause below it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The class of what went wrong.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether to try again.
    pub fn retry(&self) -> Retry {
        self.retry
    }

    /// What was attempted.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// On which key, queue or file, and what was wrong with it.
    pub fn context(&self) -> &str {
        &self.context
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            Kind::Invalid => "invalid",
            Kind::NotFound => "not found",
            Kind::Conflict => "conflict",
            Kind::TooLarge => "too large",
            Kind::Full => "full, try again later",
            Kind::Unavailable => "unavailable",
            Kind::Closed => "closed",
            Kind::Poisoned => "log stopped, restart to recover",
            Kind::Damaged => "damaged",
            Kind::Io => "failed",
            Kind::Unsupported => "not supported",
        };
        write!(f, "{} {}: {}", self.operation, self.context, what)?;
        match &self.source {
            Some(source) => write!(f, " ({source})"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_to_what_and_why() {
        let error = Error::new(Kind::Io, "sync segment", "00000001.log").because("no such device");
        assert_eq!(error.to_string(), "sync segment 00000001.log: failed (no such device)");
        assert_eq!(error.retry(), Retry::Never);
        assert_eq!(Error::new(Kind::Full, "publish to queue", "orders").retry(), Retry::Later);
    }

    #[test]
    fn what_cannot_be_reached_may_be_asked_again_and_what_is_closed_not() {
        let retry = |kind| Error::new(kind, "ask broker", "at 127.0.0.1").retry();
        assert_eq!((retry(Kind::Unavailable), retry(Kind::Closed)), (Retry::Later, Retry::Never));
    }
}
