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
    /// The source has none.
    Absence(Version),
    /// What is there is over: to everybody it is as if there were nothing, but only a write over it takes its place.
    Over(Version),
}

impl There {
    pub(super) fn of(shared: Option<Shared>, now: Instant) -> Self {
        let Some(Shared { value, flags, version }) = shared else { return Self::Nothing };
        if flags != envelope::FLAGS {
            return Self::Value(value, version);
        }
        match envelope::unwrap(&value) {
            Some((Envelope { encoding, fresh_until, .. }, bytes)) if now < fresh_until => match encoding {
                Encoding::Raw => Self::Value(Payload::from(bytes), version),
                Encoding::Negative => Self::Absence(version),
            },
            // Its time is over, though a reader behind a policy may still be shown it. Or another program has changed the
            // header, which is never taken for a value.
            Some(_) | None => Self::Over(version),
        }
    }

    /// What a reader is told; `None` where it has to be asked for.
    pub(super) fn known(&self) -> Option<Option<Payload>> {
        match self {
            Self::Value(value, _) => Some(Some(value.clone())),
            Self::Absence(_) => Some(None),
            Self::Over(_) | Self::Nothing => None,
        }
    }

    /// The value alone.
    pub(super) fn value(self) -> Option<(Payload, Version)> {
        match self {
            Self::Value(value, version) => Some((value, version)),
            Self::Nothing | Self::Absence(_) | Self::Over(_) => None,
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
        let known = |later| There::of(Some(written.clone()), now + Duration::from_secs(later)).known();
        assert_eq!((known(10), known(3600)), (Some(None), None));
    }

    #[test]
    fn a_value_that_is_kept_for_when_its_source_fails_is_none_to_who_does_not_ask_for_that() {
        let now = Instant::from_ms(1_700_000_000_000);
        let envelope =
            Envelope { encoding: Encoding::Raw, fresh_until: now + Duration::from_secs(1), retry_at: now };
        let kept = Shared { value: envelope.wrap(b"v").into(), flags: envelope::FLAGS, version: Version(1) };
        assert_eq!(There::of(Some(kept.clone()), now).known(), Some(Some("v".into())));
        assert_eq!(There::of(Some(kept), now + Duration::from_secs(1)), There::Over(Version(1)));
    }
}
