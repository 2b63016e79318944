//! `Increment` and `Decrement`.

use forebay_core::entry::{Arithmetic, Counted, Step, Version};
use forebay_core::ports::pledges::Pledges;
use forebay_wire::memcached::binary::request::{Count, Request};
use forebay_wire::memcached::binary::status::Status;

use super::answer::{answer, counted};
use crate::execute::keyed::count_step;
use crate::execute::turn::Turn;
use crate::expiry::expiry;

pub(super) fn count<S: Pledges>(turn: &mut Turn<'_, S>, request: &Request<'_>, count: Count<'_>) {
    let step = if count.up { Step::Up } else { Step::Down };
    let arithmetic = Arithmetic {
        now: turn.now,
        delta: count.delta,
        step,
        version: (count.compare != 0).then_some(Version(count.compare)),
        create: count.create.map(|(number, exptime)| (number, expiry(exptime, turn.now))),
        touch: None,
        named: None,
    };
    let outcome = turn.store.count(count.key, arithmetic);
    count_step(turn, step, outcome);
    let refused = match outcome {
        Counted::Value { number, version, .. } => return counted(turn.out, request, number, version.0),
        Counted::NotFound => Status::NotFound,
        Counted::NotNumber => Status::NotNumber,
        Counted::Exists => Status::Exists,
    };
    answer(turn.out, request.echo, Err(refused));
}
