//! How far a connection is.

use forebay_core::time::Instant;

/// What is awaited of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The protocol header.
    Greeting,
    /// Who it is.
    Starting,
    /// Its limits.
    Tuning,
    /// Which virtual host.
    Opening,
    /// Anything.
    Running,
    /// Its answer to a close, until then; all else is passed over.
    Closing(Instant),
    /// Nothing: what is left is sent, and that is the end.
    Ended,
}

impl Phase {
    /// True before the connection is open.
    pub(crate) fn is_before_open(self) -> bool {
        matches!(self, Self::Greeting | Self::Starting | Self::Tuning | Self::Opening)
    }

    /// True once no more is carried out.
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::Closing(_) | Self::Ended)
    }
}
