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

impl Refusal {
    /// There is no such queue.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Said(404, _))
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
        match self {
            Self::Said(404, said) => Error::new(Kind::NotFound, operation, on).because(said),
            Self::Said(406, said) if said.contains("size") => {
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
