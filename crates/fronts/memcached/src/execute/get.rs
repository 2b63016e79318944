//! `get`, `gets`, `gat`, `gats`.

use forebay_core::entry::Read;
use forebay_core::limits::OUTPUT_BYTES_MAX;
use forebay_core::limits::memcached::TURN_KEYS_MAX;
use forebay_core::ports::pledges::Pledges;
use forebay_wire::memcached::command::Get;

use super::paused::{Paused, PausedGet};
use super::run::Ran;
use super::turn::Turn;
use crate::expiry::expiry;
use crate::reply;
use crate::stats::counters::Count;

/// Answers key by key. Thousands of keys may be asked for at once, so it stops where the output is full, or where
/// other connections have waited long enough, and goes on when that has been sent.
pub(crate) fn get<S: Pledges>(turn: &mut Turn<'_, S>, get: Get<'_>) -> Ran {
    let mut keys = get.keys;
    let read = Read { touch: get.touch.map(|exptime| expiry(exptime, turn.now)), ..Read::at(turn.now) };
    let (command, hits, misses) = match get.touch {
        None => (Count::Gets, Count::GetHits, Count::GetMisses),
        Some(_) => (Count::Touches, Count::TouchHits, Count::TouchMisses),
    };
    let mut answered = 0;
    loop {
        if turn.out.len() >= OUTPUT_BYTES_MAX || answered == TURN_KEYS_MAX {
            let place = PausedGet { place: keys.place(), touch: get.touch, versions: get.versions };
            return Ran::Paused(Paused::Get(place));
        }
        let Some(key) = keys.next() else { break };
        let out = &mut *turn.out;
        let hit = turn.store.read(key, read, &mut |view| {
            reply::value(out, key, &view, get.versions);
        });
        answered += 1;
        turn.tally.one(command);
        turn.count(hit, hits, misses);
    }
    turn.out.extend_from_slice(b"END\r\n");
    Ran::Done
}
