//! `ma`.

use forebay_core::entry::{Arithmetic, Counted, Expiry, Step, Version};
use forebay_core::ports::pledges::Pledges;
use forebay_wire::memcached::meta::count::MetaCount;
use forebay_wire::memcached::refusal::Refusal;

use super::text::{echo, key, number, opaque, time_left};
use crate::execute::keyed::count_step;
use crate::execute::turn::Turn;
use crate::expiry::Ends;
use crate::reply;

pub(in crate::execute) fn count<S: Pledges>(turn: &mut Turn<'_, S>, command: &MetaCount<'_>) {
    let step = if command.up { Step::Up } else { Step::Down };
    let ends = Ends::new(command.vivify, command.touch, turn.now);
    if !turn.admits(command.key.bytes().as_slice(), command.named) {
        return;
    }
    let arithmetic = Arithmetic {
        now: turn.now,
        delta: command.delta,
        step,
        version: (command.compare != 0).then_some(Version(command.compare)),
        create: ends.created(command.flags).map(|expires_at| (command.initial, expires_at)),
        touch: ends.touch,
        named: command.named.map(Version),
    };
    let counted = turn.store.count(command.key.bytes().as_slice(), arithmetic);
    count_step(turn, step, counted);
    match counted {
        Counted::Value { created: false, .. } if command.quiet => {}
        Counted::Value { number, version, expires_at, created } => {
            let end = if created { None } else { expires_at };
            show(turn, command, number, version, &ends, (created, end));
        }
        Counted::NotFound => {
            turn.out.extend_from_slice(b"NF");
            echo(turn.out, command.flags, &command.key);
        }
        Counted::Exists => {
            turn.out.extend_from_slice(b"EX");
            echo(turn.out, command.flags, &command.key);
        }
        Counted::NotNumber => reply::line(turn.out, Refusal::NotNumber.text()),
    }
}

fn show<S: Pledges>(
    turn: &mut Turn<'_, S>,
    command: &MetaCount<'_>,
    counted: u64,
    version: Version,
    ends: &Ends,
    (created, mut end): (bool, Expiry),
) {
    let out = &mut *turn.out;
    if command.value {
        out.extend_from_slice(b"VA ");
        reply::number(out, u64::from(counted.checked_ilog10().unwrap_or(0)) + 1);
    } else {
        out.extend_from_slice(b"HD");
    }
    for word in command.flags {
        end = ends.after(word.first(), created, end);
        match word.first() {
            Some(b'c') => number(out, b'c', version.0),
            Some(b't') => time_left(out, end, turn.now),
            Some(b'O') => opaque(out, word),
            Some(b'k') => key(out, &command.key),
            _ => {}
        }
    }
    out.extend_from_slice(b"\r\n");
    if command.value {
        reply::number(out, counted);
        out.extend_from_slice(b"\r\n");
    }
}
