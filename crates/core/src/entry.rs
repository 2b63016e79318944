//! A cached value, as a reader sees it and as a writer asks for it.

use crate::time::Instant;

/// Tells two states of one key apart: every change of an entry gives it a greater version, and no two entries of a store
/// have the same; but where a writer names the version. Whether two of those tell anything apart is up to the writers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(pub u64);

impl Version {
    /// Where a store begins that is opened now. A version that was given out before a restart must not come again: an
    /// old compare-and-set would meet a new entry. So versions start from the clock, with a million of them for every
    /// millisecond, which no store can use up; and they stay below 2^63, because some clients read them as signed.
    pub const fn first(now: Instant) -> Self {
        Self(now.as_ms() << 20)
    }
}

/// The right to fill a key that was missed: the newest version the key's place had seen at the miss.
/// A fill with it is refused if the key was written or invalidated since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease(pub Version);

/// How an entry stands to the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A value, good until it expires.
    Fresh,
    /// A value that was invalidated and may be served only as stale.
    Stale,
    /// No value yet: somebody holds the lease to fill it.
    Leased,
}

/// Whether this reader is the one that should load the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nobody needs to load.
    None,
    /// This reader was granted the lease: load, then write with the version it was shown.
    Won,
    /// Another reader was granted it before.
    Lost,
}

/// What a read shows. It lives only as long as the visit.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The bytes; empty while leased.
    pub value: &'a [u8],
    /// The client's own 32 bits.
    pub flags: u32,
    /// For compare-and-set.
    pub version: Version,
    /// `None` does not expire.
    pub expires_at: Option<Instant>,
    /// Fresh, stale or leased.
    pub state: State,
    /// Whether this reader shall load.
    pub claim: Claim,
    /// Whether it was read before this read.
    pub read_before: bool,
    /// When it was last read or written before this read, to the second.
    pub accessed_at: Instant,
}

/// What a read may do besides looking.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    /// The present.
    pub now: Instant,
    /// Sets a new end of life on a hit.
    pub touch: Option<Expiry>,
    /// On a miss, leaves a leased placeholder that lives this long and grants this reader its lease.
    pub lease: Option<Expiry>,
    /// The version that the placeholder is given, in place of the store's own next one.
    pub named: Option<Version>,
    /// On a hit with less life left than this many milliseconds, grants one reader the lease to load it anew.
    /// Zero asks for nothing but a stale entry's lease. A read with neither this nor `lease` is never granted one: its
    /// reader would not load.
    pub refresh_below_ms: Option<u64>,
    /// Takes part in the eviction policy and in the read marks; false looks without leaving a trace.
    pub counts: bool,
}

impl Read {
    /// A plain read.
    pub const fn at(now: Instant) -> Self {
        Self { now, touch: None, lease: None, named: None, refresh_below_ms: None, counts: true }
    }
}

/// The end of an entry's life: a moment, or `None` for no end.
pub type Expiry = Option<Instant>;

/// When a write is allowed to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    None,
    /// Only over exactly this version; an absent key is `NotFound`.
    Version(Version),
    /// Only if nothing has written or invalidated the key since the lease was taken.
    Lease(Lease),
}

/// What a write does with what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Replaces or creates.
    Set,
    /// Only where no value is (a leased placeholder counts as one).
    Add,
    /// Only where a value is.
    Replace,
    /// Puts the bytes behind the present value, whose flags and expiry stay.
    Append,
    /// Puts the bytes before the present value, whose flags and expiry stay.
    Prepend,
}

/// A write.
#[derive(Clone, Copy, Debug)]
pub struct Write {
    /// The present.
    pub now: Instant,
    /// The client's own 32 bits.
    pub flags: u32,
    /// The end of life.
    pub expires_at: Expiry,
    /// What to do with what is there.
    pub mode: Mode,
    /// When it may happen.
    pub condition: Condition,
    /// With `Condition::Version`: a version older than the present one is stored all the same, marked stale. The entry
    /// keeps its end of life, and its lease where that was granted.
    pub stale_if_older: bool,
    /// The version that the entry is given, in place of the store's own next one.
    pub named: Option<Version>,
}

impl Write {
    /// An unconditional set that does not expire.
    pub const fn at(now: Instant) -> Self {
        Self {
            now,
            flags: 0,
            expires_at: None,
            mode: Mode::Set,
            condition: Condition::None,
            stale_if_older: false,
            named: None,
        }
    }
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is there under this version.
    Stored(Version),
    /// The mode did not fit what is there, or an extended value would be too large.
    NotStored,
    /// The condition failed: somebody else wrote in between.
    Exists,
    /// The condition needs an entry and there is none.
    NotFound,
    /// Larger than the store takes. What was there before is gone where the write would have replaced it
    /// unconditionally or by lease, so that no reader sees the older value; else it stays.
    TooLarge,
    /// No room was found within the work that one write may do. What was there before is gone as with `TooLarge`. It may
    /// be tried again.
    NoRoom,
}

/// An invalidation or deletion.
#[derive(Clone, Copy, Debug)]
pub struct Delete {
    /// The present.
    pub now: Instant,
    /// Only this version.
    pub version: Option<Version>,
    /// Keep the value, marked stale, with this end of life (`None` leaves the present one).
    pub keep_stale: Option<Option<Expiry>>,
    /// Leave the entry without its bytes. Unless it is marked stale as well, or somebody loads it, it keeps its version; leases
    /// taken before are void all the same.
    pub empties: Option<Emptied>,
    /// The version that what is left is given.
    pub named: Option<Version>,
}

impl Delete {
    /// An unconditional deletion.
    pub const fn at(now: Instant) -> Self {
        Self { now, version: None, keep_stale: None, empties: None, named: None }
    }
}

/// What an entry without its bytes is left with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Emptied {
    /// The client's own 32 bits.
    pub flags: u32,
    /// The end of life.
    pub expires_at: Expiry,
}

/// What became of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone, or marked stale where that was asked for.
    Done,
    /// There was nothing. Leases taken before are void all the same.
    NotFound,
    /// Another version is there.
    Exists,
}

/// Which way a counter goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Up, wrapping at 2^64.
    Up,
    /// Down, stopping at 0.
    Down,
}

/// A change of a counter kept as decimal text.
#[derive(Clone, Copy, Debug)]
pub struct Arithmetic {
    /// The present.
    pub now: Instant,
    /// By how much.
    pub delta: u64,
    /// Which way.
    pub step: Step,
    /// Only this version.
    pub version: Option<Version>,
    /// Where there is none: start with this number and end of life.
    pub create: Option<(u64, Expiry)>,
    /// A new end of life for one that is there.
    pub touch: Option<Expiry>,
    /// The version that the entry is given, in place of the store's own next one.
    pub named: Option<Version>,
}

/// What became of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Its new number.
    Value {
        /// The number.
        number: u64,
        /// For compare-and-set.
        version: Version,
        /// The end of life.
        expires_at: Expiry,
        /// True where `create` made it.
        created: bool,
    },
    /// There is none.
    NotFound,
    /// What is there is not a decimal number below 2^64.
    NotNumber,
    /// Another version is there.
    Exists,
}
