//! The way in: the head of a byte stream becomes one command, or the wish for more bytes.

use super::classic::{admin, crawler, keyed, retrieval, storage, watch};
use super::command::{Command, Refused, Verb};
use super::line::{Found, find};
use super::meta;
use super::refusal::Refusal;
use super::words::{Line, Words};

/// What memcached counts besides key, value and flags when it compares an item with its limit: its header, the
/// version, and the ends of key and value.
pub const ITEM_OVERHEAD_BYTES: usize = 59;
/// Flags take room only when they are set.
const FLAGS_BYTES: usize = 4;
/// The line end after a value.
const BODY_END_BYTES: usize = 2;

/// Bounds of what a client may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A key.
    pub key_bytes_max: usize,
    /// Key and value with [`ITEM_OVERHEAD_BYTES`], as memcached's `-I`.
    pub item_bytes_max: usize,
    /// A line whose end has not come yet.
    pub open_line_bytes_max: usize,
    /// A line whose end has come.
    pub line_bytes_max: usize,
    /// Either, where the line is a `get` or `gets`.
    pub get_line_bytes_max: usize,
}

impl Limits {
    /// The same, but every value counts as too large: what is then [`Oversized`](Command::Oversized) is a write whose value has
    /// not come and is not to be awaited.
    pub const fn without_values(self) -> Self {
        Self { item_bytes_max: 0, ..self }
    }

    /// Whether an item of this size may be stored.
    pub fn takes(&self, key_bytes: usize, flags: u32, value_bytes: usize) -> bool {
        item_bytes(key_bytes, flags, value_bytes) <= self.item_bytes_max
    }
}

/// The size of an item as memcached counts it.
pub fn item_bytes(key_bytes: usize, flags: u32, value_bytes: usize) -> usize {
    let flags_bytes = if flags == 0 { 0 } else { FLAGS_BYTES };
    key_bytes.saturating_add(value_bytes).saturating_add(flags_bytes + ITEM_OVERHEAD_BYTES)
}

/// What the head of the input is.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives on the stack for one command; a box would be an allocation"
)]
pub enum Parsed<'a> {
    /// Not yet a command. Asking again with fewer than `needed` bytes gives the same answer.
    Incomplete {
        /// How many bytes of input there must be, those already there included.
        needed: usize,
        /// How many bytes of them hold no line end; to be handed back, so that a long line is searched once.
        searched: usize,
    },
    /// A command, or what to answer in its place.
    Complete {
        /// What is asked for.
        command: Command<'a>,
        /// How many bytes of the input it took.
        consumed: usize,
        /// How many bytes after those are to be thrown away unread.
        swallow: usize,
    },
    /// Nothing more can be understood, and nothing is to be answered: the connection ends.
    Close,
}

/// Reads the head of `input`, of which the first `searched` bytes are known to hold no line end. Allocates nothing.
pub fn parse<'a>(input: &'a [u8], searched: usize, limits: &Limits) -> Parsed<'a> {
    let (text, length) = match find(input, searched, limits) {
        Found::Line { text, length } => (text, length),
        Found::Open => return Parsed::Incomplete { needed: input.len() + 1, searched: input.len() },
        Found::Endless => return Parsed::Close,
    };
    let body = Body::after(input, length);
    let mut words = Words::new(text);
    let verb = words.next().unwrap_or_default();
    // The most common command is spared the cutting of its line.
    match verb {
        b"get" => return body.none(retrieval::get(words, false, limits)),
        b"gets" => return body.none(retrieval::get(words, true, limits)),
        _ => {}
    }
    let line = Line::new(text);
    match verb {
        b"set" => storage::store(&line, |_| Verb::Set, false, body, limits),
        b"add" => storage::store(&line, |_| Verb::Add, false, body, limits),
        b"replace" => storage::store(&line, |_| Verb::Replace, false, body, limits),
        b"append" => storage::store(&line, |_| Verb::Append, false, body, limits),
        b"prepend" => storage::store(&line, |_| Verb::Prepend, false, body, limits),
        b"cas" => storage::store(&line, Verb::CompareAndSet, true, body, limits),
        b"ms" => meta::set::set(&line, words, body, limits),
        _ => match without_body(verb, words, &line, limits) {
            Some(command) => body.none(command),
            None => Parsed::Close,
        },
    }
}

/// Commands that are one line. `None` ends the connection.
fn without_body<'a>(verb: &[u8], words: Words<'a>, line: &Line<'a>, limits: &Limits) -> Option<Command<'a>> {
    Some(match verb {
        b"mg" => meta::get::get(line, words, limits),
        b"md" => meta::delete::delete(line, words, limits),
        b"ma" => meta::count::count(line, words, limits),
        b"me" => meta::debug::debug(line, limits),
        b"mn" => Command::MetaNoop,
        b"gat" => retrieval::get_and_touch(words, false, limits),
        b"gats" => retrieval::get_and_touch(words, true, limits),
        b"bget" => retrieval::get(words, false, limits),
        b"delete" => keyed::delete(line, limits),
        b"incr" => keyed::count(line, true, limits),
        b"decr" => keyed::count(line, false, limits),
        b"touch" => keyed::touch(line, limits),
        b"flush_all" => admin::flush_all(line),
        b"verbosity" => admin::verbosity(line),
        b"cache_memlimit" => admin::memory_limit(line),
        b"stats" => admin::stats(line),
        b"lru_crawler" => crawler::crawler(line),
        b"watch" => watch::watch(line),
        b"version" => Command::Version,
        b"shutdown" => Command::Shutdown,
        b"quit" => Command::Quit,
        _ if is_http(verb, line) => return None,
        _ => Refused::aloud(Refusal::Unknown).into(),
    })
}

/// A browser, or somebody's page in one, is not answered: what it sends next could be taken for commands.
/// memcached looks for it only where the verb could not be one of its own.
fn is_http(verb: &[u8], line: &Line<'_>) -> bool {
    let own = match verb {
        [_] | [] => true,
        [b'm', _] => true,
        [first, ..] => matches!(first, b'g' | b's' | b'a' | b'c' | b'i' | b'd' | b't'),
    };
    !own && line.last().starts_with(b"HTTP/")
}

/// The length of a value, `None` where none can be that long.
pub(super) fn body_length(length: i32) -> Option<usize> {
    usize::try_from(length).ok().filter(|length| *length <= i32::MAX as usize - BODY_END_BYTES)
}

/// The input after a command's line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body<'a> {
    input: &'a [u8],
    line: usize,
}

impl<'a> Body<'a> {
    /// What follows a line of this length.
    pub(super) const fn after(input: &'a [u8], line: usize) -> Self {
        Self { input, line }
    }

    /// The command has no value: what follows is the next command.
    pub(super) fn none(self, command: Command<'a>) -> Parsed<'a> {
        Parsed::Complete { command, consumed: self.line, swallow: 0 }
    }

    /// The value is refused unread.
    pub(super) fn swallow(self, length: usize, command: Command<'a>) -> Parsed<'a> {
        Parsed::Complete { command, consumed: self.line, swallow: length + BODY_END_BYTES }
    }

    /// The value once it is all there; `None` where it is not followed by a line end. Either way its length counts:
    /// the next command begins after it.
    pub(super) fn take(
        self,
        length: usize,
        command: impl FnOnce(Option<&'a [u8]>) -> Command<'a>,
    ) -> Parsed<'a> {
        let consumed = self.line + length + BODY_END_BYTES;
        let Some(body) = self.input.get(self.line..consumed) else {
            return Parsed::Incomplete { needed: consumed, searched: 0 };
        };
        Parsed::Complete { command: command(body.strip_suffix(b"\r\n")), consumed, swallow: 0 }
    }
}
