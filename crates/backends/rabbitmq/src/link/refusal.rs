//! Why the server did not do what was asked.

use forebay_core::error::{Error, Kind};
use lapin::ErrorKind;

/// A refusal of the server, or none at all.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It said no, by AMQP's number for it and in its own words.
    Said(u16, String),
    /// It cannot be reached, or does not answer.
    Away(&'static str),
    /// It could not be reached, or the channel is gone, as the client library says.
    Broken(lapin::Error),
}

/// What a server says, under the number of a lasting refusal, of a queue that it knows and cannot use at the moment: its node
/// is away, or has not come to it yet since it was started.
const PASSING: [&str; 6] = [
    "does not have a replica on the local node",
    "is down or inaccessible",
    "is stopped by supervisor",
    "has crashed and failed to restart",
    "due to timeout",
    "delivery acknowledgement on channel",
];

impl Refusal {
    /// There is no such queue.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Said(404, _)) && !self.is_passing()
    }

    /// It may be otherwise soon, whatever its number says.
    fn is_passing(&self) -> bool {
        matches!(self, Self::Said(_, said) if PASSING.iter().any(|words| said.contains(words)))
    }

    /// Another connection has it.
    pub(crate) fn is_locked(&self) -> bool {
        matches!(self, Self::Said(405, _))
    }

    /// In its own words.
    pub(crate) fn said(&self) -> String {
        match self {
            Self::Said(_, said) => said.clone(),
            Self::Away(why) => (*why).to_owned(),
            Self::Broken(why) => why.to_string(),
        }
    }

    /// As an error of the ports.
    pub(crate) fn during(self, operation: &'static str, on: impl Into<String>) -> Error {
        let is_passing = self.is_passing();
        match self {
            Self::Said(_, said) if is_passing => Error::new(Kind::Unavailable, operation, on).because(said),
            Self::Said(404, said) => Error::new(Kind::NotFound, operation, on).because(said),
            Self::Said(406, said) if said.contains("is larger than") => {
                Error::new(Kind::TooLarge, operation, on).because(said)
            }
            Self::Said(406, said) => Error::new(Kind::Conflict, operation, on).because(said),
            Self::Said(403 | 530, said) => Error::new(Kind::Invalid, operation, on).because(said),
            Self::Said(_, said) => Error::new(Kind::Unavailable, operation, on).because(said),
            Self::Away(why) => Error::new(Kind::Unavailable, operation, on).because(why),
            Self::Broken(why) => Error::new(Kind::Unavailable, operation, on).because(why),
        }
    }
}

impl From<lapin::Error> for Refusal {
    fn from(error: lapin::Error) -> Self {
        match error.kind() {
            ErrorKind::ProtocolError(said) => Self::Said(said.get_id(), said.get_message().to_string()),
            _ => Self::Broken(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: u16, said: &str) -> Kind {
        Refusal::Said(code, said.to_owned()).during("declare queue", "q").kind()
    }

    #[test]
    fn what_a_server_that_starts_cannot_use_yet_is_away_and_neither_gone_nor_in_conflict() {
        for (code, said) in [
            (406, "PRECONDITION_FAILED - queue 'q' in vhost '/' does not have a replica on the local node"),
            (404, "NOT_FOUND - home node 'n@h' of durable queue 'q' in vhost '/' is down or inaccessible"),
            (404, "NOT_FOUND - queue 'q' in vhost '/' process is stopped by supervisor"),
            (404, "NOT_FOUND - queue 'q' in vhost '/' has crashed and failed to restart"),
            (404, "NOT_FOUND - failed to perform operation on queue 'q' in vhost '/' due to timeout"),
        ] {
            assert_eq!(kind(code, said), Kind::Unavailable, "{said}");
            assert!(!Refusal::Said(code, said.to_owned()).is_not_found(), "{said}");
        }
    }

    #[test]
    fn what_lasts_is_told_as_it_is() {
        assert_eq!(kind(404, "NOT_FOUND - no queue 'q' in vhost '/'"), Kind::NotFound);
        assert_eq!(
            kind(406, "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q'"),
            Kind::Conflict
        );
        // Whatever a queue is called.
        assert_eq!(kind(404, "NOT_FOUND - no queue 'timeout' in vhost '/'"), Kind::NotFound);
        let other = "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'resize' in vhost '/'";
        assert_eq!(kind(406, other), Kind::Conflict);
        let large = "PRECONDITION_FAILED - message size 9 is larger than configured max size 8";
        assert_eq!(kind(406, large), Kind::TooLarge);
        assert_eq!(kind(403, "ACCESS_REFUSED - access to queue 'q' refused"), Kind::Invalid);
    }
}
