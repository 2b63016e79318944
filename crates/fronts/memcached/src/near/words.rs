//! What cannot be done, in memcached's manner: `SERVER_ERROR` and what to do instead.

use forebay_core::error::{Error, Kind};
use forebay_wire::memcached::binary::status::Status;
use forebay_wire::memcached::refusal::Refusal;

/// Why something is not done: the line of the text protocol, and the status of the binary one.
#[derive(Clone, Copy)]
pub(super) struct Why {
    pub(super) text: &'static str,
    pub(super) status: Status,
}

impl Why {
    const fn new(status: Status, text: &'static str) -> Self {
        Self { text, status }
    }

    /// What goes with the status: memcached's own words where it has them, else those of the line behind the first, which the
    /// status says.
    pub(super) fn words(self) -> &'static str {
        match (self.status, self.text.split_once(' ')) {
            (Status::TooLarge | Status::OutOfMemory, _) | (_, None) => self.status.text(),
            (_, Some((_, words))) => words,
        }
    }
}

const fn cannot(text: &'static str) -> Why {
    Why::new(Status::Unsupported, text)
}

pub(super) const TOO_LARGE: Why = Why::new(Status::TooLarge, Refusal::TooLarge.text());
pub(super) const FLUSH: Why =
    cannot("SERVER_ERROR a near cache does not flush, flush the shared store itself");
pub(super) const DEBUG: Why =
    cannot("SERVER_ERROR a near cache has no item to show, ask the shared store itself");
pub(super) const CRAWLER: Why =
    cannot("SERVER_ERROR a near cache has no items of its own, ask the shared store itself");
pub(super) const WATCH: Why =
    cannot("SERVER_ERROR a near cache can be watched for connevents, watch the shared store for the rest");
pub(super) const READ_FLAGS: Why =
    cannot("SERVER_ERROR a near cache does not know h, l, t and R of an item, leave these flags out");
pub(super) const STALE: Why = cannot("SERVER_ERROR a near cache keeps nothing stale, leave out I");
pub(super) const COUNT_FLAGS: Why =
    cannot("SERVER_ERROR a near cache counts without c, t, C and T, leave these flags out");
pub(super) const SIZE: Why =
    cannot("SERVER_ERROR a near cache does not know the size of what was extended, leave out s");
pub(super) const NAMED: Why = cannot("SERVER_ERROR a near cache does not choose versions, leave out E");
pub(super) const EMPTIES: Why =
    cannot("SERVER_ERROR a near cache removes an entry with its value, leave out x");
pub(super) const COMPARED: Why =
    cannot("SERVER_ERROR a near cache counts whatever version is there, leave the version out");
pub(super) const BAD_KEY: Why =
    Why::new(Status::Invalid, "CLIENT_ERROR a near cache takes keys without spaces and control characters");

/// What a client is told of an error. Its own words may hold a key, which may hold anything.
pub(super) fn failed(error: &Error) -> Why {
    match error.kind() {
        Kind::TooLarge => TOO_LARGE,
        Kind::Full => Why::new(Status::OutOfMemory, Refusal::OutOfMemory.text()),
        Kind::Unavailable => {
            Why::new(Status::Unavailable, "SERVER_ERROR the shared store is away, try again later")
        }
        Kind::Closed => Why::new(Status::Unavailable, "SERVER_ERROR the shared store is closed"),
        Kind::Unsupported => cannot("SERVER_ERROR the shared store cannot do this"),
        Kind::Invalid => {
            Why::new(Status::Invalid, "SERVER_ERROR the shared store does not take this key or these flags")
        }
        _ => Why::new(Status::Failed, "SERVER_ERROR the shared store failed"),
    }
}
