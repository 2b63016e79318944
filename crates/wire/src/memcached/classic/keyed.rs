//! `delete`, `incr`, `decr`, `touch`: one key, one line, no value.

use crate::memcached::command::{Command, Count, Delete, Refused, Touch};
use crate::memcached::number::{signed_32, unsigned};
use crate::memcached::parse::Limits;
use crate::memcached::refusal::Refusal;
use crate::memcached::words::Line;

/// `delete <key> [0] [noreply]`. The 0 is a hold time that old clients still send.
pub(in crate::memcached) fn delete<'a>(line: &Line<'a>, limits: &Limits) -> Command<'a> {
    let count = line.count();
    if !(2..=4).contains(&count) {
        return Refused::aloud(Refusal::Unknown).into();
    }
    let held = line.word(2) == b"0";
    let quiet = count > 2 && line.quiet();
    let understood = match count {
        2 => true,
        3 => held || quiet,
        _ => held && quiet,
    };
    let key = line.word(1);
    if !understood {
        return Refused { refusal: Refusal::DeleteUsage, quiet }.into();
    }
    if key.len() > limits.key_bytes_max {
        return Refused { refusal: Refusal::BadLine, quiet }.into();
    }
    Command::Delete(Delete { key, quiet })
}

/// `incr|decr <key> <step> [noreply]`.
pub(in crate::memcached) fn count<'a>(line: &Line<'a>, up: bool, limits: &Limits) -> Command<'a> {
    let (key, quiet) = match key_and_argument(line, limits) {
        Ok(found) => found,
        Err(refused) => return refused.into(),
    };
    match unsigned(line.word(2)) {
        Some(delta) => Command::Count(Count { key, delta, up, quiet }),
        None => Refused { refusal: Refusal::BadDelta, quiet }.into(),
    }
}

/// `touch <key> <exptime> [noreply]`.
pub(in crate::memcached) fn touch<'a>(line: &Line<'a>, limits: &Limits) -> Command<'a> {
    let (key, quiet) = match key_and_argument(line, limits) {
        Ok(found) => found,
        Err(refused) => return refused.into(),
    };
    match signed_32(line.word(2)) {
        Some(exptime) => Command::Touch(Touch { key, exptime, quiet }),
        None => Refused { refusal: Refusal::BadExptime, quiet }.into(),
    }
}

fn key_and_argument<'a>(line: &Line<'a>, limits: &Limits) -> Result<(&'a [u8], bool), Refused> {
    if !(3..=4).contains(&line.count()) {
        return Err(Refused::aloud(Refusal::Unknown));
    }
    let (key, quiet) = (line.word(1), line.quiet());
    if key.len() > limits.key_bytes_max {
        return Err(Refused { refusal: Refusal::BadLine, quiet });
    }
    Ok((key, quiet))
}
