//! `set`, `add`, `replace`, `append`, `prepend`, `cas`, and writes that are refused for their size.

use forebay_core::entry::{Condition, Delete, Mode, Version, Write, Written};
use forebay_core::ports::pledges::Pledges;
use forebay_wire::memcached::command::{Oversized, Store, Verb};
use forebay_wire::memcached::refusal::Refusal;

use super::turn::Turn;
use crate::expiry::expiry;
use crate::stats::counters::Count;
use crate::{outcome, reply};

pub(super) fn store<S: Pledges>(turn: &mut Turn<'_, S>, command: Store<'_>) {
    let (mode, condition) = match command.verb {
        Verb::Set => (Mode::Set, Condition::None),
        Verb::Add => (Mode::Add, Condition::None),
        Verb::Replace => (Mode::Replace, Condition::None),
        Verb::Append => (Mode::Append, Condition::None),
        Verb::Prepend => (Mode::Prepend, Condition::None),
        Verb::CompareAndSet(version) => (Mode::Set, Condition::Version(Version(version))),
    };
    let write = Write {
        flags: command.flags,
        expires_at: expiry(command.exptime, turn.now),
        mode,
        condition,
        ..Write::at(turn.now)
    };
    let written = turn.store.write(command.key, command.value, write);
    count_write(turn, condition, written);
    reply::line_unless(command.quiet, turn.out, outcome::written(written));
}

/// Counts a write and what became of it.
pub(super) fn count_write<S: Pledges>(turn: &mut Turn<'_, S>, condition: Condition, written: Written) {
    turn.tally.one(Count::Sets);
    if matches!(written, Written::Stored(_)) {
        turn.tally.one(Count::Stored);
    }
    match (condition, written) {
        (Condition::Version(_), Written::Stored(_)) => turn.tally.one(Count::CasHits),
        (Condition::Version(_), Written::Exists) => turn.tally.one(Count::CasBad),
        (Condition::Version(_), Written::NotFound) => turn.tally.one(Count::CasMisses),
        _ => {}
    }
}

pub(super) fn oversized<S: Pledges>(turn: &mut Turn<'_, S>, command: &Oversized<'_>) {
    turn.tally.one(Count::TooLarge);
    refuse(turn, command, Refusal::TooLarge);
}

/// Answers a write whose value is not taken in.
pub(crate) fn refuse<S: Pledges>(turn: &mut Turn<'_, S>, command: &Oversized<'_>, refusal: Refusal) {
    if command.forget {
        turn.store.delete(command.key.as_slice(), Delete::at(turn.now));
    }
    reply::line_unless(command.quiet, turn.out, refusal.text());
}
