//! `delete`, `incr`, `decr`, `touch`, `md`, `ma`.

use std::time::Duration;

use forebay_core::entry::{Deleted, Step, Version};
use forebay_core::ports::remote_store::{Addition, Changed, RemoteStore, Sum};
use forebay_core::time::Instant;
use forebay_wire::memcached::command;
use forebay_wire::memcached::meta::count::MetaCount;
use forebay_wire::memcached::meta::delete::MetaDelete;
use forebay_wire::memcached::refusal::Refusal;

use super::batch::Answer;
use super::front::Front;
use super::read::is_plain;
use super::words::{self, Why};
use crate::execute::meta::text::{echo, key as show_key, opaque};
use crate::expiry::life;
use crate::shared::Shared;
use crate::stats::counters::Count;
use crate::{outcome, reply};

pub(super) async fn delete(shared: &Shared<Front>, command: command::Delete<'_>) -> Answer {
    let mut answer = Answer::default();
    match remove(shared, command.key, None, &mut answer).await {
        Ok(deleted) => answer.line(command.quiet, outcome::deleted(deleted)),
        Err(why) => answer.line(command.quiet, why.text),
    }
}

/// With `I` too the entry goes: the next reader that would load is granted the lease, as it would be of a stale one.
pub(super) async fn meta_delete(shared: &Shared<Front>, command: MetaDelete<'_>) -> Answer {
    let mut answer = Answer::default();
    let key = command.key.bytes().as_slice();
    if command.named.is_some() {
        return answer.line(false, words::NAMED.text);
    }
    if command.empties {
        return answer.line(false, words::EMPTIES.text);
    }
    match remove(shared, key, command.compare.map(Version), &mut answer).await {
        Ok(Deleted::Done) if command.quiet => answer,
        Ok(deleted) => {
            answer.out.extend_from_slice(outcome::meta_deleted(deleted).as_bytes());
            echo(&mut answer.out, command.flags, &command.key);
            answer
        }
        Err(why) => answer.line(false, why.text),
    }
}

pub(super) async fn remove(
    shared: &Shared<Front>,
    key: &[u8],
    version: Option<Version>,
    answer: &mut Answer,
) -> Result<Deleted, Why> {
    if !is_plain(key) {
        return Err(words::BAD_KEY);
    }
    let changed = shared.store.near.remove(key, version, Duration::ZERO).await;
    let deleted = match changed.map_err(|error| words::failed(&error))? {
        Changed::Done(_) => Deleted::Done,
        Changed::NotFound | Changed::NotStored => Deleted::NotFound,
        Changed::Exists => Deleted::Exists,
    };
    answer.count(deleted == Deleted::Done, Count::DeleteHits, Count::DeleteMisses);
    Ok(deleted)
}

pub(super) async fn touch(shared: &Shared<Front>, command: command::Touch<'_>, now: Instant) -> Answer {
    let mut answer = Answer::default();
    if !is_plain(command.key) {
        return answer.line(command.quiet, words::BAD_KEY.text);
    }
    match shared.store.near.touch(command.key, life(command.exptime, now)).await {
        Ok(hit) => {
            answer.tally.one(Count::Touches);
            answer.count(hit, Count::TouchHits, Count::TouchMisses);
            answer.line(command.quiet, if hit { "TOUCHED" } else { "NOT_FOUND" })
        }
        Err(error) => answer.line(command.quiet, words::failed(&error).text),
    }
}

pub(super) async fn count(shared: &Shared<Front>, command: command::Count<'_>) -> Answer {
    let mut answer = Answer::default();
    let step = if command.up { Step::Up } else { Step::Down };
    let addition = Addition { delta: command.delta, step, create: None };
    match add(shared, command.key, addition, &mut answer).await {
        Ok(Sum::Number(number)) => answer.line(command.quiet, &number.to_string()),
        Ok(Sum::NotFound) => answer.line(command.quiet, "NOT_FOUND"),
        Ok(Sum::NotNumber) => answer.line(command.quiet, Refusal::NotNumber.text()),
        Err(why) => answer.line(command.quiet, why.text),
    }
}

pub(super) async fn meta_count(shared: &Shared<Front>, command: MetaCount<'_>, now: Instant) -> Answer {
    let mut answer = Answer::default();
    if command.named.is_some() {
        return answer.line(false, words::NAMED.text);
    }
    let mut letters = command.flags.filter_map(|word| word.first());
    if command.compare != 0 || command.touch.is_some() || letters.any(|letter| matches!(letter, b'c' | b't'))
    {
        return answer.line(false, words::COUNT_FLAGS.text);
    }
    let step = if command.up { Step::Up } else { Step::Down };
    let create = command.vivify.map(|exptime| (command.initial, life(exptime, now)));
    let addition = Addition { delta: command.delta, step, create };
    match add(shared, command.key.bytes().as_slice(), addition, &mut answer).await {
        Ok(Sum::Number(_)) if command.quiet => {}
        Ok(Sum::Number(number)) => show(&mut answer.out, &command, number),
        Ok(Sum::NotFound) => {
            answer.out.extend_from_slice(b"NF");
            echo(&mut answer.out, command.flags, &command.key);
        }
        Ok(Sum::NotNumber) => return answer.line(false, Refusal::NotNumber.text()),
        Err(why) => return answer.line(false, why.text),
    }
    answer
}

fn show(out: &mut Vec<u8>, command: &MetaCount<'_>, counted: u64) {
    let digits = counted.to_string();
    if command.value {
        out.extend_from_slice(b"VA ");
        reply::number(out, digits.len() as u64);
    } else {
        out.extend_from_slice(b"HD");
    }
    for word in command.flags {
        match word.first() {
            Some(b'O') => opaque(out, word),
            Some(b'k') => show_key(out, &command.key),
            _ => {}
        }
    }
    out.extend_from_slice(b"\r\n");
    if command.value {
        reply::line(out, &digits);
    }
}

pub(super) async fn add(
    shared: &Shared<Front>,
    key: &[u8],
    addition: Addition,
    answer: &mut Answer,
) -> Result<Sum, Why> {
    if !is_plain(key) {
        return Err(words::BAD_KEY);
    }
    let sum = shared.store.near.add(key, addition).await.map_err(|error| words::failed(&error))?;
    match (addition.step, sum) {
        (Step::Up, Sum::Number(_)) => answer.tally.one(Count::IncrHits),
        (Step::Down, Sum::Number(_)) => answer.tally.one(Count::DecrHits),
        (Step::Up, Sum::NotFound) => answer.tally.one(Count::IncrMisses),
        (Step::Down, Sum::NotFound) => answer.tally.one(Count::DecrMisses),
        (_, Sum::NotNumber) => {}
    }
    Ok(sum)
}
