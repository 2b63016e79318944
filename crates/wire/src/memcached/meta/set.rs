//! `ms <key> <bytes> <flags>*` and a value after it.

use super::flags::{Flags, check_line, read};
use super::key::MetaKey;
use crate::memcached::command::{Command, Oversized, Refused};
use crate::memcached::number::signed_32;
use crate::memcached::parse::{Body, Limits, Parsed, body_length};
use crate::memcached::refusal::Refusal;
use crate::memcached::words::{Line, Words};

/// What a meta set does with what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaMode {
    /// Replaces or creates.
    Set,
    /// Only where nothing is.
    Add,
    /// Only where something is.
    Replace,
    /// Behind what is there.
    Append,
    /// Before what is there.
    Prepend,
}

/// A meta set.
#[derive(Clone, Copy, Debug)]
pub struct MetaSet<'a> {
    /// The key.
    pub key: MetaKey<'a>,
    /// The flags as they came: the reply follows their order.
    pub flags: Words<'a>,
    /// The value without its line end.
    pub value: &'a [u8],
    /// What it does with what is there.
    pub mode: MetaMode,
    /// The client's own 32 bits.
    pub client_flags: u32,
    /// The end of life.
    pub exptime: i32,
    /// The version that must be there.
    pub compare: Option<u64>,
    /// The version that the entry is given, in place of the server's own.
    pub named: Option<u64>,
    /// The end of life of what is made where there is nothing to extend; `None` makes nothing.
    pub vivify: Option<i32>,
    /// An older version than the present one is stored all the same, marked stale.
    pub stale: bool,
    /// Success is not answered.
    pub quiet: bool,
}

/// `words` are those after the verb.
pub(in crate::memcached) fn set<'a>(
    line: &Line<'a>,
    mut words: Words<'a>,
    body: Body<'a>,
    limits: &Limits,
) -> Parsed<'a> {
    let length = check_line(line, Refusal::FlagsTooMany, limits)
        .and_then(|()| signed_32(line.word(2)).and_then(body_length).ok_or(Refusal::BadLine));
    let length = match length {
        Ok(length) => length,
        Err(refusal) => return body.none(Refused::aloud(refusal).into()),
    };
    // From here on the length is known, so that the value is thrown away with a line that is refused.
    let (flags, mode) = match read(line, 3).and_then(|flags| Ok((flags, mode(&flags)?))) {
        Ok(understood) => understood,
        Err(refusal) => return body.swallow(length, Refused::aloud(refusal).into()),
    };
    if flags.opaque_too_long {
        return body.swallow(length, Refused::aloud(Refusal::OpaqueTooLong).into());
    }
    if !limits.takes(flags.key.bytes().as_slice().len(), flags.client_flags, length) {
        let oversized = Oversized { key: *flags.key.bytes(), forget: true, quiet: false };
        return body.swallow(length, Command::Oversized(oversized));
    }
    words.next();
    words.next();
    body.take(length, |value| match value {
        None => Refused::aloud(Refusal::BadDataChunk).into(),
        Some(value) => Command::MetaSet(MetaSet {
            key: flags.key,
            flags: words,
            value,
            mode,
            client_flags: flags.client_flags,
            exptime: flags.touch.unwrap_or(0),
            compare: flags.compare,
            named: flags.named,
            vivify: flags.vivify,
            stale: flags.stale,
            quiet: flags.quiet,
        }),
    })
}

fn mode(flags: &Flags<'_>) -> Result<MetaMode, Refusal> {
    Ok(match flags.mode {
        None | Some(b'S') => MetaMode::Set,
        Some(b'E') => MetaMode::Add,
        Some(b'R') => MetaMode::Replace,
        Some(b'A') => MetaMode::Append,
        Some(b'P') => MetaMode::Prepend,
        Some(_) => return Err(Refusal::SetMode),
    })
}
