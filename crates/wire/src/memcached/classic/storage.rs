//! `set`, `add`, `replace`, `append`, `prepend`, `cas`: one line and a value after it.

use crate::memcached::command::{Bytes, Command, Oversized, Refused, Store, Verb};
use crate::memcached::number::{signed_32, unsigned, unsigned_32};
use crate::memcached::parse::{Body, Limits, Parsed, body_length};
use crate::memcached::refusal::Refusal;
use crate::memcached::words::Line;

/// `<verb> <key> <flags> <exptime> <bytes> [noreply]`, and `cas` with its version after the length.
/// `verb` is made from the version word, which only `cas` has.
pub(in crate::memcached) fn store<'a>(
    line: &Line<'a>,
    verb: impl FnOnce(u64) -> Verb,
    compares: bool,
    body: Body<'a>,
    limits: &Limits,
) -> Parsed<'a> {
    let words = 5 + usize::from(compares);
    if !(words..=words + 1).contains(&line.count()) {
        return body.none(Refused::aloud(Refusal::Unknown).into());
    }
    let quiet = line.quiet();
    let key = line.word(1);
    let numbers = || {
        let flags = unsigned_32(line.word(2))?;
        let exptime = signed_32(line.word(3))?;
        let length = signed_32(line.word(4))?;
        let version = if compares { unsigned(line.word(5))? } else { 0 };
        Some((flags, exptime, body_length(length)?, version))
    };
    let Some((flags, exptime, length, version)) = numbers().filter(|_| key.len() <= limits.key_bytes_max)
    else {
        return body.none(Refused { refusal: Refusal::BadLine, quiet }.into());
    };
    let verb = verb(version);
    if !limits.takes(key.len(), flags, length) {
        let forget = verb == Verb::Set;
        return body.swallow(length, Command::Oversized(Oversized { key: Bytes::Word(key), forget, quiet }));
    }
    body.take(length, |value| match value {
        Some(value) => Command::Store(Store { verb, key, flags, exptime, value, quiet }),
        None => Refused { refusal: Refusal::BadDataChunk, quiet }.into(),
    })
}
