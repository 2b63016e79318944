//! `set`, `add`, `replace`, `append`, `prepend`, `cas`, `ms`, and writes that are refused for their size.

use std::time::Duration;

use forebay_core::entry::{Condition, Mode, Version, Written};
use forebay_core::error::Result;
use forebay_core::ports::remote_store::{Changed, Fill, Filled, Put, RemoteStore};
use forebay_core::time::Instant;
use forebay_wire::memcached::command::{Oversized, Store};
use forebay_wire::memcached::meta::set::MetaSet;

use super::batch::Answer;
use super::front::Front;
use super::read::is_plain;
use super::words::{self, Why};
use crate::execute::meta::set::{answer_written, mode_and_condition, shows_size, vivifies};
use crate::execute::store::{mode_of, tally_write};
use crate::expiry::life;
use crate::outcome;
use crate::shared::Shared;
use crate::stats::counters::Count;

pub(super) async fn store(shared: &Shared<Front>, command: Store<'_>, now: Instant) -> Answer {
    let mut answer = Answer::default();
    if !is_plain(command.key) {
        return answer.line(command.quiet, words::BAD_KEY.text);
    }
    let (mode, condition) = mode_of(command.verb);
    let terms = Terms { flags: command.flags, life: life(command.exptime, now), mode, condition };
    match write(shared, command.key, command.value, terms).await {
        Ok(written) => {
            tally_write(&mut answer.tally, condition, written);
            answer.line(command.quiet, outcome::written(written))
        }
        Err(error) => {
            answer.tally.one(Count::Sets);
            answer.line(command.quiet, words::failed(&error).text)
        }
    }
}

pub(super) async fn meta_set(shared: &Shared<Front>, command: MetaSet<'_>, now: Instant) -> Answer {
    let mut answer = Answer::default();
    let key = command.key.bytes().as_slice();
    if command.named.is_some() {
        return answer.line(false, words::NAMED.text);
    }
    if command.stale {
        return answer.line(false, words::STALE.text);
    }
    if !is_plain(key) {
        return answer.line(false, words::BAD_KEY.text);
    }
    let (mode, condition) = mode_and_condition(&command);
    let extends = matches!(mode, Mode::Append | Mode::Prepend);
    if extends && shows_size(&command) {
        return answer.line(false, words::SIZE.text);
    }
    let terms = Terms { flags: command.client_flags, life: life(command.exptime, now), mode, condition };
    let mut written = write(shared, key, command.value, terms).await;
    if let Ok(outcome) = written
        && let Some(exptime) = vivifies(&command, mode, outcome)
    {
        let made = Terms { life: life(exptime, now), mode: Mode::Add, condition: Condition::None, ..terms };
        written = write(shared, key, command.value, made).await;
        if matches!(written, Ok(Written::NotStored)) {
            // Somebody has made it in between, and now there is something to extend.
            written = write(shared, key, command.value, terms).await;
        }
    }
    match written {
        Ok(written) => {
            let written = answer_written(&mut answer.out, &command, mode, written, command.value.len());
            let condition = if mode == Mode::Set { condition } else { Condition::None };
            tally_write(&mut answer.tally, condition, written);
            answer
        }
        Err(error) => {
            answer.tally.one(Count::Sets);
            answer.line(false, words::failed(&error).text)
        }
    }
}

/// What a write is made with.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    pub(super) flags: u32,
    pub(super) life: Option<Duration>,
    pub(super) mode: Mode,
    pub(super) condition: Condition,
}

/// Fills, where the version is the number of a lease; else puts.
pub(super) async fn write(shared: &Shared<Front>, key: &[u8], value: &[u8], terms: Terms) -> Result<Written> {
    let near = &shared.store.near;
    let Terms { flags, life, mode, condition } = terms;
    let version = match condition {
        Condition::Version(version) => Some(version),
        Condition::None | Condition::Lease(_) => None,
    };
    let grant =
        version.filter(|_| mode == Mode::Set).and_then(|Version(token)| shared.store.grants.take(key, token));
    if let Some(grant) = grant {
        return Ok(match near.fill(key, value, Fill { flags, life, tags: &[] }, grant).await? {
            Filled::Stored(version) => Written::Stored(version),
            Filled::Refused => Written::Exists,
        });
    }
    Ok(match near.put(key, value, Put { flags, life, mode, version }).await? {
        Changed::Done(version) => Written::Stored(version),
        Changed::NotStored => Written::NotStored,
        Changed::Exists => Written::Exists,
        Changed::NotFound => Written::NotFound,
    })
}

/// A text write that is too large.
pub(super) async fn too_large(shared: &Shared<Front>, command: Oversized<'_>) -> Answer {
    let mut answer = Answer::default();
    let why = oversized(shared, command.key.as_slice(), command.forget, &mut answer).await;
    answer.line(command.quiet, why.text)
}

/// What was there is removed, as no reader must take it for what was sent. Returns what to answer.
pub(super) async fn oversized(shared: &Shared<Front>, key: &[u8], forget: bool, answer: &mut Answer) -> Why {
    answer.tally.one(Count::TooLarge);
    if forget
        && is_plain(key)
        && let Err(error) = shared.store.near.remove(key, None, Duration::ZERO).await
    {
        return words::failed(&error);
    }
    words::TOO_LARGE
}
