//! Why a channel or a connection is closed: AMQP's exceptions, and what errors of other rooms become.

use std::fmt;

use forebay_broker::routing::refusal::{Reason, Refusal};
use forebay_broker::virtual_hosts::NotChanged;
use forebay_core::error::{Error, Kind};
use forebay_wire::amqp::fault::Fault;
use forebay_wire::amqp::methods::MethodId;
use forebay_wire::amqp::reply::ReplyCode;

/// The result of a method.
pub(crate) type Result<T> = std::result::Result<T, Exception>;

/// A method that is refused. What its code says decides whether the channel ends by it or the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exception {
    pub(crate) code: ReplyCode,
    /// Which method was at fault, once that is known.
    pub(crate) method: MethodId,
    explanation: String,
}

impl Exception {
    pub(crate) fn new(code: ReplyCode, explanation: impl Into<String>) -> Self {
        Self { code, method: MethodId::NONE, explanation: explanation.into() }
    }

    /// The same about this method, unless it already names one.
    pub(crate) fn of(mut self, method: MethodId) -> Self {
        if self.method == MethodId::NONE {
            self.method = method;
        }
        self
    }

    /// The peer did not say what had to come next.
    pub(crate) fn command_invalid(explanation: impl Into<String>) -> Self {
        Self::new(ReplyCode::CommandInvalid, explanation)
    }

    pub(crate) fn precondition(explanation: impl Into<String>) -> Self {
        Self::new(ReplyCode::PreconditionFailed, explanation)
    }

    pub(crate) fn not_implemented(explanation: impl Into<String>) -> Self {
        Self::new(ReplyCode::NotImplemented, explanation)
    }
}

/// The reply text.
impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} - {}", self.code.name(), self.explanation)
    }
}

impl From<Refusal> for Exception {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.reason() {
            Reason::NotFound => ReplyCode::NotFound,
            Reason::AccessRefused => ReplyCode::AccessRefused,
            Reason::UnknownKind => ReplyCode::CommandInvalid,
            _ => ReplyCode::PreconditionFailed,
        };
        Self::new(code, refusal.to_string())
    }
}

impl From<NotChanged> for Exception {
    fn from(reason: NotChanged) -> Self {
        match reason {
            NotChanged::Refused(refusal) => refusal.into(),
            NotChanged::Failed(error) => error.into(),
        }
    }
}

impl From<Error> for Exception {
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            Kind::NotFound => ReplyCode::NotFound,
            Kind::Invalid | Kind::Conflict | Kind::TooLarge => ReplyCode::PreconditionFailed,
            Kind::Full | Kind::Unavailable => ReplyCode::ResourceError,
            Kind::Closed => ReplyCode::ConnectionForced,
            Kind::Unsupported => ReplyCode::NotImplemented,
            _ => ReplyCode::InternalError,
        };
        Self::new(code, error.to_string())
    }
}

/// What cannot be read. The fault's own text has the name of its code before it.
impl From<Fault> for Exception {
    fn from(fault: Fault) -> Self {
        let (code, text) = (fault.code(), fault.to_string());
        let explanation = text.split_once(" - ").map_or(text.as_str(), |(_, explanation)| explanation);
        Self::new(code, explanation).of(fault.method)
    }
}

#[cfg(test)]
mod tests {
    use forebay_wire::amqp::methods::Arguments;
    use forebay_wire::amqp::methods::channel;

    use super::*;

    #[test]
    fn the_text_begins_with_the_name_of_the_code() {
        let exception = Exception::precondition("unknown delivery tag 7");
        assert_eq!(exception.to_string(), "PRECONDITION_FAILED - unknown delivery tag 7");
    }

    #[test]
    fn a_method_that_is_named_stays_named() {
        let close = channel::Close::ID;
        let exception = Exception::precondition("no").of(close).of(channel::Open::ID);
        assert_eq!(exception.method, close);
    }

    #[test]
    fn back_pressure_and_refusals_have_codes_of_their_own() {
        let code = |kind| Exception::from(Error::new(kind, "declare queue", "q")).code;
        assert_eq!(code(Kind::Full), ReplyCode::ResourceError);
        assert_eq!(code(Kind::Conflict), ReplyCode::PreconditionFailed);
        assert_eq!(code(Kind::Closed), ReplyCode::ConnectionForced);
        assert_eq!(code(Kind::Poisoned), ReplyCode::InternalError);
    }
}
