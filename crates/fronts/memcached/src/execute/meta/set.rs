//! `ms`.

use forebay_core::entry::{Condition, Mode, Version, Write, Written};
use forebay_core::ports::pledges::Pledges;
use forebay_wire::memcached::meta::set::{MetaMode, MetaSet};

use super::text::{key, number, opaque};
use crate::execute::store::tally_write;
use crate::execute::turn::Turn;
use crate::expiry::expiry;
use crate::{outcome, reply};

pub(in crate::execute) fn set<S: Pledges>(turn: &mut Turn<'_, S>, command: &MetaSet<'_>) {
    if !turn.admits(command.key.bytes().as_slice(), command.named) {
        return;
    }
    let (mode, condition) = mode_and_condition(command);
    let key = command.key.bytes().as_slice();
    let write = Write {
        now: turn.now,
        flags: command.client_flags,
        expires_at: expiry(command.exptime, turn.now),
        mode,
        condition,
        // Version 0 is no older one: nothing ever had it.
        stale_if_older: command.stale && command.compare != Some(0),
        named: command.named.map(Version),
    };
    let mut written = turn.store.write(key, command.value, write);
    if let Some(exptime) = vivifies(command, mode, written) {
        let made = Write {
            mode: Mode::Add,
            condition: Condition::None,
            expires_at: expiry(exptime, turn.now),
            stale_if_older: false,
            ..write
        };
        written = turn.store.write(key, command.value, made);
        if written == Written::NotStored {
            // Somebody has made it in between, and now there is something to extend.
            written = turn.store.write(key, command.value, write);
        }
    }
    let size = if extends(mode) && shows_size(command) { turn.size_of(key) } else { None };
    let written = answer_written(turn.out, command, mode, written, size.unwrap_or(command.value.len()));
    // Only a replacement is counted as a comparison.
    tally_write(turn.tally, if mode == Mode::Set { condition } else { Condition::None }, written);
}

fn extends(mode: Mode) -> bool {
    matches!(mode, Mode::Append | Mode::Prepend)
}

/// Whether the size of what is stored is asked for.
pub(crate) fn shows_size(command: &MetaSet<'_>) -> bool {
    let mut letters = command.flags.filter_map(|word| word.first());
    letters.any(|letter| *letter == b's')
}

/// The end of life of what is to be made, as there was nothing to extend.
pub(crate) fn vivifies(command: &MetaSet<'_>, mode: Mode, written: Written) -> Option<i32> {
    let is_absent = extends(mode) && matches!(written, Written::NotStored | Written::NotFound);
    command.vivify.filter(|_| is_absent)
}

/// Answers, and returns what is to be counted. `size` is that of what is stored.
pub(crate) fn answer_written(
    out: &mut Vec<u8>,
    command: &MetaSet<'_>,
    mode: Mode,
    written: Written,
    size: usize,
) -> Written {
    // To extend what is not there is "not stored" whether or not a version was asked for.
    let written = if extends(mode) && written == Written::NotFound { Written::NotStored } else { written };
    let code = match outcome::meta_written(written) {
        Ok(code) => code,
        Err(refusal) => {
            reply::line(out, refusal.text());
            return written;
        }
    };
    let version = match written {
        Written::Stored(_) if command.quiet => return written,
        Written::Stored(version) => version.0,
        _ => 0,
    };
    out.extend_from_slice(code.as_bytes());
    for word in command.flags {
        match word.first() {
            Some(b'O') => opaque(out, word),
            Some(b'k') => key(out, &command.key),
            Some(b'c') => number(out, b'c', version),
            Some(b's') => number(out, b's', size as u64),
            _ => {}
        }
    }
    out.extend_from_slice(b"\r\n");
    written
}

/// With a version, set and replace are the same thing: something has to be there. Add has nothing to compare with, and
/// version 0, which nothing ever has, asks the extending modes for no comparison.
pub(crate) fn mode_and_condition(command: &MetaSet<'_>) -> (Mode, Condition) {
    let compared = command.compare.map_or(Condition::None, |version| Condition::Version(Version(version)));
    let extended = if command.compare == Some(0) { Condition::None } else { compared };
    match command.mode {
        MetaMode::Set => (Mode::Set, compared),
        MetaMode::Replace if command.compare.is_some() => (Mode::Set, compared),
        MetaMode::Replace => (Mode::Replace, Condition::None),
        MetaMode::Add => (Mode::Add, Condition::None),
        MetaMode::Append => (Mode::Append, extended),
        MetaMode::Prepend => (Mode::Prepend, extended),
    }
}
