//! The flags of a meta command, checked in one pass before anything is done.

use super::key::MetaKey;
use crate::memcached::number::{signed_32, unsigned, unsigned_32};
use crate::memcached::parse::Limits;
use crate::memcached::refusal::Refusal;
use crate::memcached::words::Line;

/// Words of a meta command, verb and key included.
const WORDS_MAX: usize = 19;
/// An opaque with its letter.
const OPAQUE_BYTES_MAX: usize = 32;

/// What the flags say. Each command takes what concerns it; the others are allowed and mean nothing to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flags<'a> {
    pub(super) key: MetaKey<'a>,
    pub(super) value: bool,
    pub(super) quiet: bool,
    pub(super) unseen: bool,
    pub(super) stale: bool,
    pub(super) vivify: Option<i32>,
    pub(super) touch: Option<i32>,
    pub(super) recache: Option<i32>,
    pub(super) client_flags: u32,
    pub(super) compare: Option<u64>,
    pub(super) named: Option<u64>,
    pub(super) empties: bool,
    pub(super) mode: Option<u8>,
    pub(super) initial: u64,
    pub(super) delta: Option<u64>,
    pub(super) opaque_too_long: bool,
}

/// Refuses lines without a key, with a key over its limit, or with too many words.
pub(super) fn check_line(line: &Line<'_>, too_many: Refusal, limits: &Limits) -> Result<(), Refusal> {
    if line.count() < 2 {
        return Err(Refusal::Unknown);
    }
    if line.word(1).len() > limits.key_bytes_max {
        return Err(Refusal::BadLine);
    }
    if line.count() > WORDS_MAX { Err(too_many) } else { Ok(()) }
}

/// Reads the flags from the word at `first` on. An unknown or repeated letter ends the reading; of other faults the
/// last is the one that is told.
pub(super) fn read<'a>(line: &Line<'a>, first: usize) -> Result<Flags<'a>, Refusal> {
    let mut flags = Flags {
        key: MetaKey::plain(line.word(1)),
        value: false,
        quiet: false,
        unseen: false,
        stale: false,
        vivify: None,
        touch: None,
        recache: None,
        client_flags: 0,
        compare: None,
        named: None,
        empties: false,
        mode: None,
        initial: 0,
        delta: None,
        opaque_too_long: false,
    };
    let mut seen = 0u128;
    let mut fault = None;
    for word in line.from(first) {
        let Some((letter, token)) = word.split_first() else { continue };
        let mark = 1u128.checked_shl(u32::from(*letter)).unwrap_or(0);
        // DEL and bytes beyond ASCII have no mark of their own: memcached calls them repeated.
        if *letter >= 127 || seen & mark != 0 {
            return Err(Refusal::DuplicateFlag);
        }
        seen |= mark;
        if let Err(refusal) = flags.set(*letter, token, line.word(1)) {
            match refusal {
                Fault::Ends(refusal) => return Err(refusal),
                Fault::Told(refusal) => fault = Some(refusal),
                Fault::Silent => fault = fault.or(Some(Refusal::BadLine)),
            }
        }
    }
    match fault {
        Some(refusal) => Err(refusal),
        None => Ok(flags),
    }
}

/// How a faulty flag is told.
enum Fault {
    /// At once.
    Ends(Refusal),
    /// Unless a later one is.
    Told(Refusal),
    /// By what was told before, if anything.
    Silent,
}

impl<'a> Flags<'a> {
    fn set(&mut self, letter: u8, token: &[u8], key: &'a [u8]) -> Result<(), Fault> {
        let time = || signed_32(token).ok_or(Fault::Told(Refusal::BadToken)).map(Some);
        match letter {
            b'b' => self.key = MetaKey::binary(key).ok_or(Fault::Told(Refusal::KeyNotDecoded))?,
            b'N' => self.vivify = time()?,
            b'T' => self.touch = time()?,
            b'R' => self.recache = time()?,
            b'O' => self.opaque_too_long = 1 + token.len() > OPAQUE_BYTES_MAX,
            b'v' => self.value = true,
            b'q' => self.quiet = true,
            b'u' => self.unseen = true,
            b'I' => self.stale = true,
            b'F' => self.client_flags = unsigned_32(token).ok_or(Fault::Silent)?,
            b'C' => self.compare = Some(unsigned(token).ok_or(Fault::Told(Refusal::BadToken))?),
            b'E' => self.named = Some(unsigned(token).ok_or(Fault::Told(Refusal::BadToken))?),
            b'x' => self.empties = true,
            b'M' => match token {
                [mode] => self.mode = Some(*mode),
                _ => return Err(Fault::Told(Refusal::ModeLength)),
            },
            b'J' => self.initial = unsigned(token).ok_or(Fault::Told(Refusal::BadInitial))?,
            b'D' => self.delta = Some(unsigned(token).ok_or(Fault::Told(Refusal::BadMetaDelta))?),
            // Asked back in the reply, or meant for proxies on the way.
            b'k' | b's' | b't' | b'c' | b'f' | b'l' | b'h' | b'P' | b'L' => {}
            _ => return Err(Fault::Ends(Refusal::InvalidFlag)),
        }
        Ok(())
    }
}
