//! `md`.

use forebay_core::entry::{Delete, Deleted, Version};
use forebay_core::ports::pledges::Pledges;
use forebay_wire::memcached::meta::delete::MetaDelete;

use super::meta_text::echo;
use super::turn::Turn;
use crate::expiry::expiry;
use crate::outcome;
use crate::stats::counters::Count;

pub(super) fn delete<S: Pledges>(turn: &mut Turn<'_, S>, command: &MetaDelete<'_>) {
    let delete = Delete {
        now: turn.now,
        version: command.compare.map(Version),
        keep_stale: command.stale.then(|| command.touch.map(|exptime| expiry(exptime, turn.now))),
    };
    let deleted = turn.store.delete(command.key.bytes().as_slice(), delete);
    match deleted {
        Deleted::Done if command.stale => {}
        Deleted::Done => turn.tally.one(Count::DeleteHits),
        Deleted::NotFound | Deleted::Exists => turn.tally.one(Count::DeleteMisses),
    }
    if deleted != Deleted::Done || !command.quiet {
        turn.out.extend_from_slice(outcome::meta_deleted(deleted).as_bytes());
        echo(turn.out, command.flags, &command.key);
    }
}
