//! Commands without a key: `flush_all`, `cache_memlimit`, `stats`.

use forebay_core::ports::pledges::Pledges;
use forebay_wire::memcached::binary::request::Echo;
use forebay_wire::memcached::command::{FlushAll, MemoryLimit, Section};
use forebay_wire::memcached::refusal::Refusal;

use super::turn::Turn;
use crate::backing::Backing;
use crate::expiry::flush_at;
use crate::reply;
use crate::stats::counters::Count;
use crate::stats::sheet::Sheet;
use crate::stats::{connections, general, settings, slabs};

const MEBIBYTE: u64 = 1024 * 1024;

pub(super) fn flush_all<S: Pledges>(turn: &mut Turn<'_, S>, command: FlushAll) {
    flush(turn, command.delay);
    reply::line_unless(command.quiet, turn.out, "OK");
}

/// Makes everything absent, at once or after a delay as the client wrote it.
pub(super) fn flush<S: Pledges>(turn: &mut Turn<'_, S>, delay: impl Into<i64>) {
    turn.shared.store.flush(flush_at(delay, turn.now), turn.now);
    turn.tally.one(Count::Flushes);
}

pub(super) fn memory_limit<S: Backing>(turn: &mut Turn<'_, S>, command: MemoryLimit) {
    let resized = turn.shared.store.resize(u64::from(command.mebibytes) * MEBIBYTE);
    let answer = if resized { "OK" } else { Refusal::LimitFailed.text() };
    reply::line_unless(command.quiet, turn.out, answer);
}

/// Shows numbers, in packets where the request was one.
pub(super) fn stats<S: Backing>(turn: &mut Turn<'_, S>, section: Section, echo: Option<Echo>) {
    // What this turn has counted so far belongs to what is shown, or set back.
    turn.shared.counters.take(turn.tally, turn.connection);
    let sheet = &mut Sheet::new(turn.out, echo);
    match section {
        Section::General => general::general(turn.shared, turn.now, sheet),
        Section::Settings => settings::settings(turn.shared, sheet),
        Section::Items => slabs::items(turn.shared, sheet),
        Section::Slabs => slabs::slabs(turn.shared, sheet),
        Section::Sizes => slabs::sizes(sheet),
        Section::Connections => {
            connections::connections(turn.shared, turn.connection, turn.now, sheet);
        }
        Section::Reset => {
            turn.shared.reset();
            sheet.reset();
        }
    }
}
