//! A cache that many processes share.

use std::time::Duration;

use super::BoxFuture;
use crate::entry::{Mode, Step, Version};
use crate::error::Result;
use crate::payload::Payload;

/// What a shared store can do. What it lacks is refused at start by name, or done in the rules; never imitated quietly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteCapabilities {
    /// Of all readers of a missing key, in all processes, one is granted the lease. Without it more than one may be, or asking
    /// for one is `Unsupported`.
    pub lease: bool,
    /// A fill is refused wherever its key was written, deleted or invalidated after its lease was granted: also when the
    /// entry was evicted since, or the store was restarted, cut off or emptied. Without it a fill may bring back an older
    /// value, and no bound on its age is promised.
    pub fenced_fill: bool,
    /// Writes and deletes on condition of a version.
    pub conditional: bool,
    /// Adds to and subtracts from numbers, exactly, under any concurrency. Without it a sum may be lost, or adding is
    /// `Unsupported`.
    pub arithmetic: bool,
    /// Changes the end of an entry's life and leaves the rest.
    pub touch: bool,
    /// Tells an empty value, which stands for "there is none", from a missing key.
    pub negative: bool,
    /// Removes all entries that were filled with a tag.
    pub tags: bool,
    /// Keeps an entry until its life is over, and versions only grow: [`Mode::Add`] takes a lock, and its version is the
    /// fencing token.
    pub locks: bool,
}

impl RemoteCapabilities {
    /// None of them.
    pub const NONE: Self = Self {
        lease: false,
        fenced_fill: false,
        conditional: false,
        arithmetic: false,
        touch: false,
        negative: false,
        tags: false,
        locks: false,
    };
}

/// An entry of a shared store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The bytes.
    pub value: Payload,
    /// The client's own 32 bits.
    pub flags: u32,
    /// For conditions. Tells two states of the key apart.
    pub version: Version,
}

/// The right to fill a key that was missed. What its numbers mean is the store's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Tells this grant from every other one of the key.
    pub token: u64,
    /// Tells this life of the store's node, or of the connection to it, from others.
    pub incarnation: u64,
}

/// What a reader that would load is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is there.
    Hit(Shared),
    /// It is not there, and this reader shall load and fill it.
    Granted(Grant),
    /// It is not there, and another reader was granted the lease, or the key is held after an invalidation.
    Busy,
}

/// A fill.
#[derive(Clone, Copy, Debug)]
pub struct Fill<'a> {
    /// The client's own 32 bits.
    pub flags: u32,
    /// How long it lives; `None` has no end.
    pub life: Option<Duration>,
    /// What it can be removed by; `Unsupported` where the store has no tags and there are some.
    pub tags: &'a [&'a [u8]],
}

/// What became of a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// It is there under this version.
    Stored(Version),
    /// The lease was not good any more. Nothing was changed.
    Refused,
}

/// A write without a lease.
#[derive(Clone, Copy, Debug)]
pub struct Put {
    /// The client's own 32 bits.
    pub flags: u32,
    /// How long it lives; `None` has no end.
    pub life: Option<Duration>,
    /// What to do with what is there. [`Mode::Append`] and [`Mode::Prepend`] leave its flags and life as they are, whatever
    /// is said here of them, and store nothing where none is or where it would be too large. Over a version they may be
    /// `Unsupported`.
    pub mode: Mode,
    /// Only over exactly this version.
    pub version: Option<Version>,
}

/// What became of a write or removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is done; a write is there under this version.
    Done(Version),
    /// The mode did not fit what is there.
    NotStored,
    /// Another version is there.
    Exists,
    /// There is none. Leases granted before are void all the same.
    NotFound,
}

/// A change of a counter kept as decimal text.
#[derive(Clone, Copy, Debug)]
pub struct Addition {
    /// By how much.
    pub delta: u64,
    /// Up, wrapping at 2^64, or down, stopping at 0.
    pub step: Step,
    /// Where there is none: start with this number and life.
    pub create: Option<(u64, Option<Duration>)>,
}

/// What became of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// Its new number.
    Number(u64),
    /// There is none.
    NotFound,
    /// What is there is not a decimal number below 2^64.
    NotNumber,
}

/// A cache outside this process: asynchronous, may be slow, away, or gone and back with other contents.
///
/// Every operation on one key is atomic on its node. Keys are 1 to 250 bytes without spaces and control characters; the
/// caller has checked them. Lives are kept to the second, rounded up, and never shorter than asked for by more than the
/// store's own clock step; a lease and a hold of less than 2 s live 2 s. Every call ends by itself within the time-out that
/// the store was opened with: `Unavailable` then, or as soon as the node is known to be away; a change may have happened
/// all the same. `Closed` says that the store was closed on this side. What a store lacks by its capabilities is
/// `Unsupported`.
pub trait RemoteStore: Send + Sync {
    /// What it can do.
    fn capabilities(&self) -> RemoteCapabilities;

    /// Reads many keys, of as many nodes as they are on, at once. One answer for each, in order: a node that is away fails
    /// its own keys and no others.
    fn get<'a>(&'a self, keys: &'a [&'a [u8]]) -> BoxFuture<'a, Vec<Result<Option<Shared>>>>;

    /// Reads one key, and on a miss asks for the lease to fill it, which lives that long.
    fn get_or_lease<'a>(&'a self, key: &'a [u8], lease: Duration) -> BoxFuture<'a, Result<Asked>>;

    /// Stores what was loaded under a grant, if the lease is still good. A grant serves once.
    fn fill<'a>(
        &'a self,
        key: &'a [u8],
        value: &'a [u8],
        fill: Fill<'a>,
        grant: Grant,
    ) -> BoxFuture<'a, Result<Filled>>;

    /// Writes without a lease, and voids those granted before.
    fn put<'a>(&'a self, key: &'a [u8], value: &'a [u8], put: Put) -> BoxFuture<'a, Result<Changed>>;

    /// Removes the entry, with a version only that one, and voids every lease granted before. No lease is granted for
    /// `hold` after it; zero lets the next reader have it.
    fn remove<'a>(
        &'a self,
        key: &'a [u8],
        version: Option<Version>,
        hold: Duration,
    ) -> BoxFuture<'a, Result<Changed>>;

    /// Removes every entry that was filled with the tag, voids the leases of their keys, and returns how many there were.
    /// What is filled while it runs may stay.
    fn remove_tag<'a>(&'a self, tag: &'a [u8]) -> BoxFuture<'a, Result<u64>>;

    /// Changes a counter. Voids leases as a write does.
    fn add<'a>(&'a self, key: &'a [u8], addition: Addition) -> BoxFuture<'a, Result<Sum>>;

    /// Gives the entry a new life from now, and says whether it was there.
    fn touch<'a>(&'a self, key: &'a [u8], life: Option<Duration>) -> BoxFuture<'a, Result<bool>>;
}
