//! `ms`.

use forebay_core::entry::{Condition, Mode, Version, Write, Written};
use forebay_core::ports::pledges::Pledges;
use forebay_wire::memcached::meta::set::{MetaMode, MetaSet};

use super::meta_text::{key, number, opaque};
use super::store::count_write;
use super::turn::Turn;
use crate::expiry::expiry;
use crate::{outcome, reply};

pub(super) fn set<S: Pledges>(turn: &mut Turn<'_, S>, command: &MetaSet<'_>) {
    let (mode, condition) = mode_and_condition(command);
    let write = Write {
        now: turn.now,
        flags: command.client_flags,
        expires_at: expiry(command.exptime, turn.now),
        mode,
        condition,
        // Version 0 is no older one: nothing ever had it.
        stale_if_older: command.stale && command.compare != Some(0),
    };
    let mut written = turn.store.write(command.key.bytes().as_slice(), command.value, write);
    // To extend what is not there is "not stored" whether or not a version was asked for.
    if matches!(mode, Mode::Append | Mode::Prepend) && written == Written::NotFound {
        written = Written::NotStored;
    }
    // Only a replacement is counted as a comparison.
    count_write(turn, if mode == Mode::Set { condition } else { Condition::None }, written);
    let code = match outcome::meta_written(written) {
        Ok(code) => code,
        Err(refusal) => return reply::line(turn.out, refusal.text()),
    };
    let version = match written {
        Written::Stored(_) if command.quiet => return,
        Written::Stored(version) => version.0,
        _ => 0,
    };
    turn.out.extend_from_slice(code.as_bytes());
    for word in command.flags {
        match word.first() {
            Some(b'O') => opaque(turn.out, word),
            Some(b'k') => key(turn.out, &command.key),
            Some(b'c') => number(turn.out, b'c', version),
            _ => {}
        }
    }
    turn.out.extend_from_slice(b"\r\n");
}

/// With a version, set and replace are the same thing: something has to be there. Add has nothing to compare with, and
/// version 0, which nothing ever has, asks the extending modes for no comparison.
fn mode_and_condition(command: &MetaSet<'_>) -> (Mode, Condition) {
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
