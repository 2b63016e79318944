//! Which function carries out which request.

use forebay_core::entry::{Delete, Deleted, Version};
use forebay_core::ports::pledges::Pledges;
use forebay_wire::memcached::binary::request::{Operation, Request};
use forebay_wire::memcached::binary::response::{Response, write};
use forebay_wire::memcached::binary::status::Status;

use super::answer::{answer, answer_unless, deleted};
use super::{count, read, write as writes};
use crate::backing::Backing;
use crate::execute::admin;
use crate::execute::run::Ran;
use crate::execute::turn::Turn;
use crate::stats::counters::Count;
use crate::version::VERSION;

/// Carries out one request.
pub(crate) fn run<S: Pledges + 'static>(turn: &mut Turn<'_, S>, request: &Request<'_>) -> Ran {
    match request.operation {
        Operation::Read(read) => read::read(turn, request, read),
        Operation::Write(write) => writes::write(turn, request, write),
        Operation::Oversized { key, forget } => {
            turn.tally.one(Count::TooLarge);
            turn.store.too_large(key, turn.now);
            give_way(turn, key, forget);
            write(turn.out, request.echo, &Response::refused(Status::TooLarge));
        }
        Operation::Delete { key, compare } => delete(turn, request, key, compare),
        Operation::Count(count) => count::count(turn, request, count),
        Operation::Flush { delay } => {
            admin::flush(turn, i64::from(delay));
            answer_unless(request.quiet, turn.out, request.echo, Ok(0));
        }
        _ => return run_without_key(turn, request),
    }
    Ran::Done
}

/// Carries out a request that is the same whatever is behind the front; what has a key is not one.
pub(crate) fn run_without_key<S: Backing>(turn: &mut Turn<'_, S>, request: &Request<'_>) -> Ran {
    let echo = request.echo;
    match request.operation {
        Operation::Noop => answer(turn.out, echo, Ok(0)),
        Operation::Version => {
            write(turn.out, echo, &Response { value: VERSION.as_bytes(), ..Response::done(0) });
        }
        Operation::Stats(section) => admin::stats(turn, section, Some(echo)),
        Operation::Quit => {
            answer_unless(request.quiet, turn.out, echo, Ok(0));
            return Ran::Quit;
        }
        Operation::Refused { status, closes } => {
            write(turn.out, echo, &Response::refused(status));
            return if closes { Ran::Refused } else { Ran::Done };
        }
        // Nobody has to say who they are.
        _ => write(turn.out, echo, &Response::refused(Status::Unknown)),
    }
    Ran::Done
}

/// Answers a write whose value is not taken in for want of memory.
pub(crate) fn refuse<S: Pledges>(turn: &mut Turn<'_, S>, request: &Request<'_>) {
    if let Operation::Oversized { key, forget } = request.operation {
        give_way(turn, key, forget);
        write(turn.out, request.echo, &Response::refused(Status::OutOfMemory));
    }
}

/// What is there goes, if the write would have replaced it.
fn give_way<S: Pledges>(turn: &mut Turn<'_, S>, key: &[u8], forget: bool) {
    if forget {
        turn.store.delete(key, Delete::at(turn.now));
    }
}

fn delete<S: Pledges>(turn: &mut Turn<'_, S>, request: &Request<'_>, key: &[u8], compare: u64) {
    let version = (compare != 0).then_some(Version(compare));
    let outcome = turn.store.delete(key, Delete { version, ..Delete::at(turn.now) });
    match outcome {
        Deleted::Done => turn.tally.one(Count::DeleteHits),
        Deleted::NotFound => turn.tally.one(Count::DeleteMisses),
        Deleted::Exists => {}
    }
    answer_unless(request.quiet, turn.out, request.echo, deleted(outcome));
}
