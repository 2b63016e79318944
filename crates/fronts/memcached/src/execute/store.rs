//! `set`, `add`, `replace`, `append`, `prepend`, `cas`, and writes that are refused for their size.

use forebay_core::entry::{Condition, Delete, Mode, Version, Write, Written};
use forebay_core::ports::pledges::Pledges;
use forebay_wire::memcached::command::{Oversized, Store, Verb};
use forebay_wire::memcached::refusal::Refusal;

use super::turn::Turn;
use crate::expiry::expiry;
use crate::stats::counters::{Count, Tally};
use crate::{outcome, reply};

pub(super) fn store<S: Pledges>(turn: &mut Turn<'_, S>, command: Store<'_>) {
    let (mode, condition) = mode_of(command.verb);
    let write = Write {
        flags: command.flags,
        expires_at: expiry(command.exptime, turn.now),
        mode,
        condition,
        ..Write::at(turn.now)
    };
    let written = turn.store.write(command.key, command.value, write);
    tally_write(turn.tally, condition, written);
    reply::line_unless(command.quiet, turn.out, outcome::written(written));
}

/// What a verb does with what is there, and when.
pub(crate) fn mode_of(verb: Verb) -> (Mode, Condition) {
    match verb {
        Verb::Set => (Mode::Set, Condition::None),
        Verb::Add => (Mode::Add, Condition::None),
        Verb::Replace => (Mode::Replace, Condition::None),
        Verb::Append => (Mode::Append, Condition::None),
        Verb::Prepend => (Mode::Prepend, Condition::None),
        Verb::CompareAndSet(version) => (Mode::Set, Condition::Version(Version(version))),
    }
}

/// Counts a write and what became of it.
pub(crate) fn tally_write(tally: &mut Tally, condition: Condition, written: Written) {
    tally.one(Count::Sets);
    if matches!(written, Written::Stored(_)) {
        tally.one(Count::Stored);
    }
    if written == Written::NoRoom {
        tally.one(Count::NoMemory);
    }
    match (condition, written) {
        (Condition::Version(_), Written::Stored(_)) => tally.one(Count::CasHits),
        (Condition::Version(_), Written::Exists) => tally.one(Count::CasBad),
        (Condition::Version(_), Written::NotFound) => tally.one(Count::CasMisses),
        _ => {}
    }
}

pub(super) fn oversized<S: Pledges>(turn: &mut Turn<'_, S>, command: &Oversized<'_>) {
    turn.tally.one(Count::TooLarge);
    turn.store.too_large(command.key.as_slice(), turn.now);
    refuse(turn, command, Refusal::TooLarge);
}

/// Answers a write whose value is not taken in.
pub(super) fn refuse<S: Pledges>(turn: &mut Turn<'_, S>, command: &Oversized<'_>, refusal: Refusal) {
    if command.forget {
        turn.store.delete(command.key.as_slice(), Delete::at(turn.now));
    }
    reply::line_unless(command.quiet, turn.out, refusal.text());
}
