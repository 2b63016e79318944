//! What a client asks for. Keys and values are borrowed from the input.

use super::auth::Authenticate;
use super::binary::request::{Operation, Request};
use super::meta::base64::Decoded;
use super::meta::count::MetaCount;
use super::meta::debug::MetaDebug;
use super::meta::delete::MetaDelete;
use super::meta::get::MetaGet;
use super::meta::set::MetaSet;
use super::refusal::Refusal;
use super::words::Words;

/// One command, or what is to be answered in its place.
#[derive(Clone, Copy, Debug)]
pub enum Command<'a> {
    /// `get`, `gets`, `gat`, `gats`.
    Get(Get<'a>),
    /// `set`, `add`, `replace`, `append`, `prepend`, `cas`.
    Store(Store<'a>),
    /// A write whose value is too large; the value is not shown, it must be swallowed.
    Oversized(Oversized<'a>),
    /// `delete`.
    Delete(Delete<'a>),
    /// `incr`, `decr`.
    Count(Count<'a>),
    /// `touch`.
    Touch(Touch<'a>),
    /// `flush_all`.
    FlushAll(FlushAll),
    /// `verbosity`, with a level that was understood.
    Verbosity {
        /// Nothing is to be answered.
        quiet: bool,
    },
    /// `version`.
    Version,
    /// `stats`.
    Stats(Section),
    /// `cache_memlimit`.
    MemoryLimit(MemoryLimit),
    /// `lru_crawler`.
    Crawler(Crawler),
    /// `watch`.
    Watch(Watches),
    /// `shutdown`.
    Shutdown,
    /// `quit`.
    Quit,
    /// `mn`.
    MetaNoop,
    /// `mg`.
    MetaGet(MetaGet<'a>),
    /// `ms`.
    MetaSet(MetaSet<'a>),
    /// `md`.
    MetaDelete(MetaDelete<'a>),
    /// `ma`.
    MetaCount(MetaCount<'a>),
    /// `me`.
    MetaDebug(MetaDebug<'a>),
    /// The first command of a client that has to say who it is.
    Authenticate(Authenticate<'a>),
    /// A request of the binary protocol.
    Binary(Request<'a>),
    /// Not understood or not allowed.
    Refused(Refused),
}

impl Command<'_> {
    /// Whether it is a write whose value is not taken in.
    pub const fn is_oversized(&self) -> bool {
        match self {
            Self::Oversized(_) => true,
            Self::Binary(request) => matches!(request.operation, Operation::Oversized { .. }),
            _ => false,
        }
    }
}

/// What is asked of memcached's crawler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crawler {
    /// `enable`.
    Enable,
    /// `disable`.
    Disable,
    /// `sleep` and `tocrawl`, with a number that was understood.
    Tune,
    /// `crawl`, in classes that there may be.
    Crawl,
    /// `metadump`: every entry of some classes, a line each.
    Dump {
        /// Whether the first class is among them.
        first_class: bool,
    },
}

/// What a watcher is told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watches {
    /// Reads, and what writes find.
    pub fetchers: bool,
    /// Writes.
    pub mutations: bool,
    /// What is pushed out.
    pub evictions: bool,
    /// Connections that come and go.
    pub connections: bool,
}

/// A read of any number of keys. Every key is within its limit.
#[derive(Clone, Copy, Debug)]
pub struct Get<'a> {
    /// The keys, in the order of the answers. There may be none: `gat 0`.
    pub keys: Words<'a>,
    /// A new end of life for each entry found, as the client wrote it.
    pub touch: Option<i32>,
    /// Whether versions are shown.
    pub versions: bool,
}

/// What a classic write does with what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `set`.
    Set,
    /// `add`.
    Add,
    /// `replace`.
    Replace,
    /// `append`.
    Append,
    /// `prepend`.
    Prepend,
    /// `cas`, with the version that must be there.
    CompareAndSet(u64),
}

/// A classic write.
#[derive(Clone, Copy, Debug)]
pub struct Store<'a> {
    /// What it does with what is there.
    pub verb: Verb,
    /// The key, within its limit.
    pub key: &'a [u8],
    /// The client's own 32 bits.
    pub flags: u32,
    /// The end of life, as the client wrote it.
    pub exptime: i32,
    /// The value without its line end.
    pub value: &'a [u8],
    /// Nothing is to be answered.
    pub quiet: bool,
}

/// A write that is refused because its value is too large.
#[derive(Clone, Copy, Debug)]
pub struct Oversized<'a> {
    /// The key, within its limit.
    pub key: Bytes<'a>,
    /// What is there must go, so that no reader takes it for the value that was sent.
    pub forget: bool,
    /// Nothing is to be answered.
    pub quiet: bool,
}

/// A key as it is stored: borrowed from the line, or decoded out of it.
#[derive(Clone, Copy, Debug)]
pub enum Bytes<'a> {
    /// A word of the line.
    Word(&'a [u8]),
    /// Decoded from base64.
    Decoded(Decoded),
}

impl Bytes<'_> {
    /// The bytes themselves.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Word(word) => word,
            Self::Decoded(decoded) => decoded.as_slice(),
        }
    }
}

/// A deletion.
#[derive(Clone, Copy, Debug)]
pub struct Delete<'a> {
    /// The key, within its limit.
    pub key: &'a [u8],
    /// Nothing is to be answered.
    pub quiet: bool,
}

/// A change of a counter.
#[derive(Clone, Copy, Debug)]
pub struct Count<'a> {
    /// The key, within its limit.
    pub key: &'a [u8],
    /// By how much.
    pub delta: u64,
    /// Up, else down.
    pub up: bool,
    /// Nothing is to be answered.
    pub quiet: bool,
}

/// A new end of life.
#[derive(Clone, Copy, Debug)]
pub struct Touch<'a> {
    /// The key, within its limit.
    pub key: &'a [u8],
    /// The end of life, as the client wrote it.
    pub exptime: i32,
    /// Nothing is to be answered.
    pub quiet: bool,
}

/// An invalidation of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushAll {
    /// When, as the client wrote it; 0 or less is now.
    pub delay: i32,
    /// Nothing is to be answered.
    pub quiet: bool,
}

/// A new memory budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    /// The budget, at least 8 MiB.
    pub mebibytes: u32,
    /// Nothing is to be answered.
    pub quiet: bool,
}

/// Which numbers `stats` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The general ones.
    General,
    /// Options in force.
    Settings,
    /// Entries by class.
    Items,
    /// Memory by class.
    Slabs,
    /// Entries by size.
    Sizes,
    /// Open connections.
    Connections,
    /// Not to be shown, but set back to zero.
    Reset,
}

/// A refusal and whether the client wants to hear it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// Nothing is to be answered.
    pub quiet: bool,
}

impl Refused {
    /// A refusal that is answered whatever the line says.
    pub(super) const fn aloud(refusal: Refusal) -> Self {
        Self { refusal, quiet: false }
    }
}

impl<'a> From<Refused> for Command<'a> {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}
