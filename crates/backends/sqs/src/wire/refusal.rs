//! Why SQS did not do what was asked.

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::operation::RequestId;
use forebay_core::error::{Error, Kind};

/// A refusal, or no answer at all.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    /// There is no such queue.
    NoQueue,
    /// It said no, by its word for it and what it said of it.
    Said(String, String),
    /// It has too much to do, or is not well: it may be asked again.
    Busy(String),
    /// It cannot be reached, or does not answer.
    Away(&'static str),
}

/// Words of SQS that mean: later.
const BUSY: &[&str] = &[
    "RequestThrottled",
    "ThrottlingException",
    "Throttling",
    "OverLimit",
    "KmsThrottled",
    "ServiceUnavailable",
];

impl Refusal {
    /// What the client library says.
    pub(crate) fn of<E, R>(error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata,
        SdkError<E, R>: RequestId + Status,
    {
        match error {
            SdkError::ServiceError(service) => {
                let code = service.err().code().unwrap_or("an error without a name").to_owned();
                let said = service.err().message().unwrap_or_default().to_owned();
                if code.ends_with("NonExistentQueue") || code.ends_with("QueueDoesNotExist") {
                    Self::NoQueue
                } else {
                    let ours = error.status().is_none_or(|status| status < 500);
                    Self::by_word(code, said, ours)
                }
            }
            SdkError::TimeoutError(_) => Self::Away("no answer in time"),
            SdkError::DispatchFailure(_) => Self::Away("cannot be reached"),
            SdkError::ResponseError(_) => Self::Away("its answer is cut off or makes no sense"),
            SdkError::ConstructionFailure(_) => {
                Self::Said("a request that cannot be made".into(), String::new())
            }
            _ => Self::Away("an error of an unknown kind"),
        }
    }

    /// By its word, and by whose fault it is: ours, or its own. Of some it says that they are ours, though they pass.
    pub(crate) fn by_word(code: String, said: String, ours: bool) -> Self {
        if ours && !BUSY.iter().any(|word| code.ends_with(word)) {
            Self::Said(code, said)
        } else {
            Self::Busy(code)
        }
    }

    /// Whether the same may succeed a little later.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::Away(_))
    }

    /// A queue is purged at most once in a minute.
    pub(crate) fn is_purging(&self) -> bool {
        matches!(self, Self::Said(code, _) if code.ends_with("PurgeQueueInProgress"))
    }

    /// As an error of the ports.
    pub(crate) fn during(self, operation: &'static str, on: impl Into<String>) -> Error {
        match self {
            Self::NoQueue => Error::new(Kind::NotFound, operation, on),
            Self::Busy(code) => Error::new(Kind::Unavailable, operation, on).because(code),
            Self::Away(why) => Error::new(Kind::Unavailable, operation, on).because(why),
            Self::Said(code, said) => {
                let kind = match code.rsplit('.').next().unwrap_or_default() {
                    "QueueDeletedRecently" | "PurgeQueueInProgress" => Kind::Unavailable,
                    "QueueNameExists" | "QueueAlreadyExists" => Kind::Conflict,
                    "BatchRequestTooLong" => Kind::TooLarge,
                    _ => Kind::Invalid,
                };
                Error::new(kind, operation, on).because(format!("{code}: {said}"))
            }
        }
    }
}

/// The status of an answer.
pub(crate) trait Status {
    fn status(&self) -> Option<u16>;
}

impl<E> Status for SdkError<E> {
    fn status(&self) -> Option<u16> {
        self.raw_response().map(|response| response.status().as_u16())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_may_be_asked_again_whoever_is_said_to_be_at_fault() {
        let passes = |code: &str, ours| Refusal::by_word(code.into(), String::new(), ours).may_pass();
        assert!(passes("AWS.SimpleQueueService.RequestThrottled", true) && passes("KmsThrottled", true));
        assert!(passes("InternalError", false));
        assert!(!passes("InvalidMessageContents", true));
    }
}
