//! Commands without a key: `flush_all`, `cache_memlimit`, `stats`.

use forebay_core::ports::pledges::Pledges;
use forebay_wire::memcached::command::{FlushAll, MemoryLimit, Section};
use forebay_wire::memcached::refusal::Refusal;

use super::turn::Turn;
use crate::backing::Backing;
use crate::expiry::flush_at;
use crate::reply;
use crate::stats::counters::Count;
use crate::stats::{connections, general, settings, slabs};

const MEBIBYTE: u64 = 1024 * 1024;

pub(super) fn flush_all<S: Pledges>(turn: &mut Turn<'_, S>, command: FlushAll) {
    turn.shared.store.flush(flush_at(command.delay, turn.now), turn.now);
    turn.tally.one(Count::Flushes);
    reply::line_unless(command.quiet, turn.out, "OK");
}

pub(super) fn memory_limit<S: Backing>(turn: &mut Turn<'_, S>, command: MemoryLimit) {
    let resized = turn.shared.store.resize(u64::from(command.mebibytes) * MEBIBYTE);
    let answer = if resized { "OK" } else { Refusal::LimitFailed.text() };
    reply::line_unless(command.quiet, turn.out, answer);
}

pub(super) fn stats<S: Backing>(turn: &mut Turn<'_, S>, section: Section) {
    // What this turn has counted so far belongs to what is shown, or set back.
    turn.shared.counters.take(turn.tally, turn.connection);
    match section {
        Section::General => general::general(turn.shared, turn.now, turn.out),
        Section::Settings => settings::settings(turn.shared, turn.out),
        Section::Items => slabs::items(turn.shared, turn.out),
        Section::Slabs => slabs::slabs(turn.shared, turn.out),
        Section::Sizes => slabs::sizes(turn.out),
        Section::Connections => {
            connections::connections(turn.shared, turn.connection, turn.now, turn.out);
        }
        Section::Reset => {
            turn.shared.reset();
            reply::line(turn.out, "RESET");
        }
    }
}
