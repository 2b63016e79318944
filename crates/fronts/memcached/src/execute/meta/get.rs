//! `mg` and `me`.

use forebay_core::entry::{Claim, Expiry, Read, State, Version, View};
use forebay_core::ports::pledges::Pledges;
use forebay_core::time::Instant;
use forebay_wire::memcached::meta::debug::MetaDebug;
use forebay_wire::memcached::meta::get::MetaGet;

use super::text::{echo, item_words, key, letter, number, opaque, time_left};
use crate::execute::turn::Turn;
use crate::expiry::{Ends, refresh_below_ms, seconds_left};
use crate::reply;
use crate::stats::counters::Count;
use crate::told::Told;

pub(in crate::execute) fn get<S: Pledges>(turn: &mut Turn<'_, S>, command: &MetaGet<'_>) {
    let now = turn.now;
    let ends = Ends::new(command.vivify, command.touch, now);
    let read = Read {
        now,
        touch: ends.touch,
        lease: ends.created(command.flags),
        named: command.named.map(Version),
        // A meta get can always say that its reader shall load, so it may always be granted the lease of a stale entry.
        refresh_below_ms: Some(command.recache.map_or(0, |exptime| refresh_below_ms(exptime, now))),
        counts: !command.unseen,
    };
    let bytes = command.key.bytes().as_slice();
    if !turn.admits(bytes, command.named) {
        return;
    }
    let untouched =
        asks_time_before_touch(command).then(|| untouched_end(&mut turn.store, bytes, now)).flatten();
    let out = &mut *turn.out;
    let mut created = false;
    let hit = turn.store.read(bytes, read, &mut |view| {
        created = view.state == State::Leased && view.claim == Claim::Won;
        let end = if created { None } else { untouched.unwrap_or(view.expires_at) };
        show(out, command, &view, (ends, end), now);
    });
    if created {
        turn.tally.one(Count::Stored);
    }
    if ends.touch.is_some() && hit {
        turn.tally.one(Count::Touches);
        turn.tally.one(Count::TouchHits);
    } else {
        turn.tally.one(Count::Gets);
        turn.count(hit, Count::GetHits, Count::GetMisses);
    }
    if !hit && !command.quiet {
        turn.out.extend_from_slice(b"EN");
        echo(turn.out, command.flags, &command.key);
    }
}

/// A `t` before a `T` shows the end of life as it was.
fn asks_time_before_touch(command: &MetaGet<'_>) -> bool {
    let order =
        || command.flags.filter_map(|word| word.first()).filter(|letter| matches!(letter, b't' | b'T'));
    command.touch.is_some() && order().next() == Some(&b't')
}

/// The end of life before this read; `None` where there is no entry.
fn untouched_end<S: Pledges>(store: &mut Told<'_, S>, key: &[u8], now: Instant) -> Option<Expiry> {
    let mut end = None;
    store.read(key, Read { counts: false, ..Read::at(now) }, &mut |view| end = Some(view.expires_at));
    end
}

/// The answer to a hit: flags in the order in which they were asked for, then what the reader must know unasked.
pub(crate) fn show(
    out: &mut Vec<u8>,
    command: &MetaGet<'_>,
    view: &View<'_>,
    (ends, mut end): (Ends, Expiry),
    now: Instant,
) {
    let created = view.state == State::Leased && view.claim == Claim::Won;
    if command.value {
        out.reserve(view.value.len() + 128);
        out.extend_from_slice(b"VA ");
        reply::number(out, view.value.len() as u64);
    } else {
        out.extend_from_slice(b"HD");
    }
    for word in command.flags {
        end = ends.after(word.first(), created, end);
        match word.first() {
            Some(b't') => time_left(out, end, now),
            Some(b's') => number(out, b's', view.value.len() as u64),
            Some(b'c') => number(out, b'c', view.version.0),
            Some(b'f') => number(out, b'f', u64::from(view.flags)),
            Some(b'l') => number(out, b'l', now.since(view.accessed_at).as_secs()),
            Some(b'h') => number(out, b'h', u64::from(view.read_before)),
            Some(b'O') => opaque(out, word),
            Some(b'k') => key(out, &command.key),
            _ => {}
        }
    }
    if view.claim == Claim::Lost {
        letter(out, b'Z');
    }
    if view.state == State::Stale {
        letter(out, b'X');
    }
    if view.claim == Claim::Won {
        letter(out, b'W');
    }
    out.extend_from_slice(b"\r\n");
    if command.value {
        out.extend_from_slice(view.value);
        out.extend_from_slice(b"\r\n");
    }
}

/// `me`: what is known of an entry, for people. The size is what memcached would have needed.
pub(in crate::execute) fn debug<S: Pledges>(turn: &mut Turn<'_, S>, command: &MetaDebug<'_>) {
    let now = turn.now;
    let bytes = command.key.bytes().as_slice();
    let out = &mut *turn.out;
    let read = Read { counts: false, ..Read::at(now) };
    let hit = turn.store.read(bytes, read, &mut |view| {
        out.extend_from_slice(b"ME ");
        command.key.write_text(out);
        out.extend_from_slice(b" exp=");
        let left = seconds_left(view.expires_at, now);
        reply::signed(out, if view.expires_at.is_some() { -left } else { left });
        item_words(out, bytes, &view, now.since(view.accessed_at).as_secs());
        out.extend_from_slice(b"\r\n");
    });
    turn.tally.one(Count::Metas);
    if !hit {
        reply::line(turn.out, "EN");
    }
}
