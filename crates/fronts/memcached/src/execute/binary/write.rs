//! `Set`, `Add`, `Replace`, `Append`, `Prepend`.

use forebay_core::entry::{Condition, Mode as StoreMode, Write as StoreWrite};
use forebay_core::ports::pledges::Pledges;
use forebay_wire::memcached::binary::request::{Request, Write};

use super::answer::{answer_unless, mode_and_condition, written};
use crate::execute::store::tally_write;
use crate::execute::turn::Turn;
use crate::expiry::expiry;

pub(super) fn write<S: Pledges>(turn: &mut Turn<'_, S>, request: &Request<'_>, write: Write<'_>) {
    let (mode, condition) = mode_and_condition(write.mode, write.compare);
    let asked = StoreWrite {
        flags: write.flags,
        expires_at: expiry(write.exptime, turn.now),
        mode,
        condition,
        ..StoreWrite::at(turn.now)
    };
    let outcome = turn.store.write(write.key, write.value, asked);
    // Only a replacement is counted as a comparison.
    tally_write(turn.tally, if mode == StoreMode::Set { condition } else { Condition::None }, outcome);
    answer_unless(request.quiet, turn.out, request.echo, written(write.mode, outcome));
}
