//! `md`.

use forebay_core::entry::{Delete, Deleted, Emptied, Version};
use forebay_core::ports::pledges::Pledges;
use forebay_wire::memcached::meta::delete::MetaDelete;

use super::text::echo;
use crate::execute::turn::Turn;
use crate::expiry::expiry;
use crate::outcome;
use crate::stats::counters::Count;

pub(in crate::execute) fn delete<S: Pledges>(turn: &mut Turn<'_, S>, command: &MetaDelete<'_>) {
    if !turn.admits(command.key.bytes().as_slice(), command.named) {
        return;
    }
    let touch = command.touch.map(|exptime| expiry(exptime, turn.now));
    let delete = Delete {
        now: turn.now,
        version: command.compare.map(Version),
        keep_stale: command.stale.then_some(touch),
        empties: command
            .empties
            .then_some(Emptied { flags: command.client_flags, expires_at: touch.unwrap_or_default() }),
        named: command.named.map(Version),
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
