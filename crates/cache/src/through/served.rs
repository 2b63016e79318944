//! What a reader is served: the value, and how old it is where it is not fresh.

use std::ops::Deref;
use std::time::Duration;

use forebay_core::payload::Payload;

/// A value, fresh or, where the policy allows it, stale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    value: Payload,
    stale: Option<Duration>,
}

impl Served {
    pub(crate) fn fresh(value: Payload) -> Self {
        Self { value, stale: None }
    }

    pub(crate) fn stale_by(value: Payload, age: Duration) -> Self {
        Self { value, stale: Some(age) }
    }

    /// How long its fresh time had been over when it was read; `None` while it is fresh.
    pub fn stale(&self) -> Option<Duration> {
        self.stale
    }

    /// The bytes.
    pub fn into_payload(self) -> Payload {
        self.value
    }
}

impl Deref for Served {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.value
    }
}
