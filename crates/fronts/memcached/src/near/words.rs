//! What cannot be done, in memcached's manner: `SERVER_ERROR` and what to do instead.

use forebay_core::error::{Error, Kind};
use forebay_wire::memcached::refusal::Refusal;

pub(super) const FLUSH: &str = "SERVER_ERROR a near cache does not flush, flush the shared store itself";
pub(super) const DEBUG: &str = "SERVER_ERROR a near cache has no item to show, ask the shared store itself";
pub(super) const READ_FLAGS: &str =
    "SERVER_ERROR a near cache does not know h, l, t and R of an item, leave these flags out";
pub(super) const STALE: &str = "SERVER_ERROR a near cache keeps nothing stale, leave out I";
pub(super) const COUNT_FLAGS: &str =
    "SERVER_ERROR a near cache counts without c, t, C and T, leave these flags out";
pub(super) const BAD_KEY: &str = "CLIENT_ERROR a near cache takes keys without spaces and control characters";

/// What a client is told of an error. Its own words may hold a key, which may hold anything.
pub(super) fn failed(error: &Error) -> &'static str {
    match error.kind() {
        Kind::TooLarge => Refusal::TooLarge.text(),
        Kind::Full => Refusal::OutOfMemory.text(),
        Kind::Unavailable => "SERVER_ERROR the shared store is away, try again later",
        Kind::Closed => "SERVER_ERROR the shared store is closed",
        Kind::Unsupported => "SERVER_ERROR the shared store cannot do this",
        Kind::Invalid => "SERVER_ERROR the shared store does not take this key or these flags",
        _ => "SERVER_ERROR the shared store failed",
    }
}
