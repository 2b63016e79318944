//! `delete`, `incr`, `decr`, `touch`.

use forebay_core::entry::{Arithmetic, Counted, Delete, Deleted, Read, Step};
use forebay_core::ports::pledges::Pledges;
use forebay_wire::memcached::command;
use forebay_wire::memcached::refusal::Refusal;

use super::turn::Turn;
use crate::expiry::expiry;
use crate::stats::counters::Count;
use crate::{outcome, reply};

pub(super) fn delete<S: Pledges>(turn: &mut Turn<'_, S>, command: command::Delete<'_>) {
    let deleted = turn.store.delete(command.key, Delete::at(turn.now));
    turn.count(deleted == Deleted::Done, Count::DeleteHits, Count::DeleteMisses);
    reply::line_unless(command.quiet, turn.out, outcome::deleted(deleted));
}

pub(super) fn count<S: Pledges>(turn: &mut Turn<'_, S>, command: command::Count<'_>) {
    let step = if command.up { Step::Up } else { Step::Down };
    let arithmetic = Arithmetic {
        now: turn.now,
        delta: command.delta,
        step,
        version: None,
        create: None,
        touch: None,
        named: None,
    };
    let counted = turn.store.count(command.key, arithmetic);
    count_step(turn, step, counted);
    match counted {
        Counted::Value { number, .. } if !command.quiet => {
            reply::number(turn.out, number);
            turn.out.extend_from_slice(b"\r\n");
        }
        Counted::Value { .. } => {}
        // Without a version asked for, none can be in the way.
        Counted::NotFound | Counted::Exists => reply::line_unless(command.quiet, turn.out, "NOT_FOUND"),
        Counted::NotNumber => reply::line_unless(command.quiet, turn.out, Refusal::NotNumber.text()),
    }
}

/// Counts what became of a step. A counter that had to be made is neither found nor missed.
pub(super) fn count_step<S: Pledges>(turn: &mut Turn<'_, S>, step: Step, counted: Counted) {
    match (step, counted) {
        (Step::Up, Counted::Value { created: false, .. }) => turn.tally.one(Count::IncrHits),
        (Step::Down, Counted::Value { created: false, .. }) => turn.tally.one(Count::DecrHits),
        (Step::Up, Counted::NotFound) => turn.tally.one(Count::IncrMisses),
        (Step::Down, Counted::NotFound) => turn.tally.one(Count::DecrMisses),
        (_, Counted::Value { created: true, .. }) => turn.tally.one(Count::Stored),
        (_, Counted::Exists | Counted::NotNumber) => {}
    }
}

pub(super) fn touch<S: Pledges>(turn: &mut Turn<'_, S>, command: command::Touch<'_>) {
    let read = Read { touch: Some(expiry(command.exptime, turn.now)), ..Read::at(turn.now) };
    let hit = turn.store.read(command.key, read, &mut |_| {});
    turn.tally.one(Count::Touches);
    turn.count(hit, Count::TouchHits, Count::TouchMisses);
    reply::line_unless(command.quiet, turn.out, if hit { "TOUCHED" } else { "NOT_FOUND" });
}
