//! What an entry of a shared store says: a value, or that the source has none.

use std::time::Duration;

use forebay_core::entry::Version;
use forebay_core::limits::elsewhere::SHARED_NEGATIVE_LIFE;
use forebay_core::payload::Payload;
use forebay_core::ports::remote_store::Shared;
use forebay_core::time::Instant;

use crate::envelope::{self, Encoding, Envelope};

/// What is at a key's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum There {
    Nothing,
    Value(Payload, Version),
    /// The source had none, until so long; after that it is not known.
    Absence(Instant, Version),
}

impl There {
    pub(super) fn of(shared: Option<Shared>) -> Self {
        let Some(Shared { value, flags, version }) = shared else { return Self::Nothing };
        if flags != envelope::FLAGS {
            return Self::Value(value, version);
        }
        match envelope::unwrap(&value) {
            Some((Envelope { encoding: Encoding::Raw, .. }, bytes)) => {
                Self::Value(Payload::from(bytes), version)
            }
            Some((Envelope { encoding: Encoding::Negative, fresh_until, .. }, _)) => {
                Self::Absence(fresh_until, version)
            }
            // A header that another program has changed is never taken for a value.
            None => Self::Absence(Instant::default(), version),
        }
    }

    /// What a reader is told at `now`; `None` where it has to be asked for.
    pub(super) fn known(&self, now: Instant) -> Option<Option<Payload>> {
        match self {
            Self::Value(value, _) => Some(Some(value.clone())),
            Self::Absence(fresh_until, _) if now < *fresh_until => Some(None),
            Self::Absence(..) | Self::Nothing => None,
        }
    }

    /// The value alone.
    pub(super) fn value(self) -> Option<(Payload, Version)> {
        match self {
            Self::Value(value, version) => Some((value, version)),
            Self::Nothing | Self::Absence(..) => None,
        }
    }
}

/// How far the clocks of two processes may be apart for one to believe the other's absence.
const CLOCKS_APART_MAX: Duration = SHARED_NEGATIVE_LIFE.saturating_mul(30);

/// The entry that says that there is none. The store's own clock ends it after [`SHARED_NEGATIVE_LIFE`]; the time in it only
/// ends one whose life was made longer by a touch that came too late.
pub(super) fn absence(now: Instant) -> Vec<u8> {
    let fresh_until = now + SHARED_NEGATIVE_LIFE + CLOCKS_APART_MAX;
    Envelope { encoding: Encoding::Negative, fresh_until, retry_at: Instant::default() }.wrap(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absence_is_believed_by_processes_whose_clocks_are_apart_and_not_for_ever() {
        let now = Instant::from_ms(1_700_000_000_000);
        let written = Shared { value: absence(now).into(), flags: envelope::FLAGS, version: Version(1) };
        let there = There::of(Some(written));
        assert_eq!(there.known(now + Duration::from_secs(10)), Some(None));
        assert_eq!(there.known(now + Duration::from_secs(3600)), None);
    }
}
