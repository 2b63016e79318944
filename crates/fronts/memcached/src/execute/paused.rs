//! Commands that are answered in several turns.

use forebay_wire::memcached::command::Get;
use forebay_wire::memcached::words::{Place, Words};

/// Where a command stopped that is not answered to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paused {
    /// A read of many keys.
    Get(PausedGet),
    /// A dump, at a place of the store's walk.
    Dump(u64),
}

/// A read without its line. That was found good once and can be a megabyte long, so it is not parsed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PausedGet {
    pub(crate) place: Place,
    pub(crate) touch: Option<i32>,
    pub(crate) versions: bool,
}

impl PausedGet {
    /// The rest of the command. `input` begins with its line.
    pub(crate) fn rest(self, input: &[u8]) -> Get<'_> {
        Get { keys: Words::resume(input, self.place), touch: self.touch, versions: self.versions }
    }
}
