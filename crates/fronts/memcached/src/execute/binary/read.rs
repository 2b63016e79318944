//! `Get`, `GAT`, `Touch` and their kin.

use forebay_core::entry::Read as StoreRead;
use forebay_core::ports::pledges::Pledges;
use forebay_wire::memcached::binary::request::{Read, Request};

use super::answer::{found, missed};
use crate::execute::turn::Turn;
use crate::expiry::expiry;
use crate::stats::counters::Count;

pub(super) fn read<S: Pledges>(turn: &mut Turn<'_, S>, request: &Request<'_>, read: Read<'_>) {
    let touch = read.touch.map(|exptime| expiry(exptime, turn.now));
    let out = &mut *turn.out;
    let asked = StoreRead { touch, ..StoreRead::at(turn.now) };
    let hit = turn.store.read(read.key, asked, &mut |view| found(out, request.echo, &read, &view));
    if !hit {
        missed(turn.out, request, &read);
    }
    count_read(turn, &read, hit);
}

fn count_read<S>(turn: &mut Turn<'_, S>, read: &Read<'_>, hit: bool) {
    let (command, hits, misses) = match read.touch {
        None => (Count::Gets, Count::GetHits, Count::GetMisses),
        Some(_) => (Count::Touches, Count::TouchHits, Count::TouchMisses),
    };
    turn.tally.one(command);
    turn.count(hit, hits, misses);
}
