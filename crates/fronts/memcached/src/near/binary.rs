//! The requests of the binary protocol.

use forebay_cache::Near;
use forebay_core::entry::{Condition, Mode as StoreMode, Step, Version};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::remote_store::{Addition, Sum};
use forebay_core::time::Instant;
use forebay_wire::memcached::binary::request::{Count as Counting, Operation, Read, Request, Write};
use forebay_wire::memcached::binary::response::{Response, write as respond};
use forebay_wire::memcached::binary::status::Status;

use super::batch::{Answer, Keys};
use super::front::{Front, count_hit, view};
use super::read::is_plain;
use super::words::{self, Why};
use super::write::Terms;
use super::{change, read, write};
use crate::execute::binary::answer::{
    answer as tell, answer_unless, counted, deleted, found, missed, mode_and_condition, written,
};
use crate::execute::binary::run_without_key;
use crate::execute::run::Ran;
use crate::execute::store::tally_write;
use crate::execute::turn::Turn;
use crate::expiry::life;
use crate::shared::Shared;
use crate::stats::counters::Count;

/// Answers within the turn what needs nobody else.
pub(super) fn run(turn: &mut Turn<'_, Front>, request: &Request<'_>) -> Ran {
    match request.operation {
        Operation::Read(read) => {
            let near = &turn.shared.store.near;
            let out = &mut *turn.out;
            let show = |near: Near<'_>| found(out, request.echo, &read, &view(near));
            if read.touch.is_some() || near.local(read.key, show).is_none() {
                return Ran::Asks(None);
            }
            count_hit(turn);
            Ran::Done
        }
        Operation::Flush { .. } => {
            refuse(turn.out, request, words::FLUSH);
            Ran::Done
        }
        Operation::Write(_)
        | Operation::Oversized { .. }
        | Operation::Delete { .. }
        | Operation::Count(_) => Ran::Asks(None),
        _ => run_without_key(turn, request),
    }
}

/// Begins a request for which the shared store is asked; `None` if it has to wait, or is none of those.
pub(super) fn begin<'i>(
    shared: &'i Shared<Front>,
    request: Request<'i>,
    keys: &mut Keys<'_>,
    now: Instant,
) -> Option<BoxFuture<'i, Answer>> {
    let added = match request.operation {
        Operation::Read(read) => keys.add_read(read.key, read.touch.is_some()),
        Operation::Write(Write { key, .. })
        | Operation::Oversized { key, .. }
        | Operation::Delete { key, .. }
        | Operation::Count(Counting { key, .. }) => keys.add(key, true),
        _ => false,
    };
    added.then(|| Box::pin(carry_out(shared, request, now)) as BoxFuture<'i, Answer>)
}

async fn carry_out(shared: &Shared<Front>, request: Request<'_>, now: Instant) -> Answer {
    let mut answer = Answer::default();
    let done = match request.operation {
        Operation::Read(read) => get(shared, &request, read, now, &mut answer).await,
        Operation::Write(write) => store(shared, &request, write, now, &mut answer).await,
        Operation::Oversized { key, forget } => {
            let refused = write::oversized(shared, key, forget, &mut answer).await;
            Err(refused)
        }
        Operation::Delete { key, compare } => delete(shared, &request, key, compare, &mut answer).await,
        Operation::Count(counting) => count(shared, &request, counting, now, &mut answer).await,
        _ => Ok(()),
    };
    if let Err(why) = done {
        refuse(&mut answer.out, &request, why);
    }
    answer
}

fn refuse(out: &mut Vec<u8>, request: &Request<'_>, why: Why) {
    respond(out, request.echo, &Response { value: why.words().as_bytes(), ..Response::refused(why.status) });
}

async fn get(
    shared: &Shared<Front>,
    request: &Request<'_>,
    asked: Read<'_>,
    now: Instant,
    answer: &mut Answer,
) -> Result<(), Why> {
    let keys = &[asked.key];
    let mut entries = match asked.touch {
        None => read::read(shared, keys, answer).await,
        Some(exptime) => read::touch(shared, keys, life(exptime, now), answer).await,
    };
    match entries.pop().unwrap_or(Ok(None)).map_err(|error| words::failed(&error))? {
        Some(entry) => {
            shared.store.sizes.saw(entry.value.len());
            found(&mut answer.out, request.echo, &asked, &view(Near::from(&entry)));
        }
        None => missed(&mut answer.out, request, &asked),
    }
    Ok(())
}

async fn store(
    shared: &Shared<Front>,
    request: &Request<'_>,
    asked: Write<'_>,
    now: Instant,
    answer: &mut Answer,
) -> Result<(), Why> {
    if !is_plain(asked.key) {
        return Err(words::BAD_KEY);
    }
    let (mode, condition) = mode_and_condition(asked.mode, asked.compare);
    let terms = Terms { flags: asked.flags, life: life(asked.exptime, now), mode, condition };
    let outcome = match write::write(shared, asked.key, asked.value, terms).await {
        Ok(outcome) => outcome,
        Err(error) => {
            answer.tally.one(Count::Sets);
            return Err(words::failed(&error));
        }
    };
    tally_write(&mut answer.tally, if mode == StoreMode::Set { condition } else { Condition::None }, outcome);
    answer_unless(request.quiet, &mut answer.out, request.echo, written(asked.mode, outcome));
    Ok(())
}

async fn delete(
    shared: &Shared<Front>,
    request: &Request<'_>,
    key: &[u8],
    compare: u64,
    answer: &mut Answer,
) -> Result<(), Why> {
    let version = (compare != 0).then_some(Version(compare));
    let outcome = change::remove(shared, key, version, answer).await?;
    answer_unless(request.quiet, &mut answer.out, request.echo, deleted(outcome));
    Ok(())
}

/// A shared store does not say which version a counter then has.
async fn count(
    shared: &Shared<Front>,
    request: &Request<'_>,
    asked: Counting<'_>,
    now: Instant,
    answer: &mut Answer,
) -> Result<(), Why> {
    if asked.compare != 0 {
        return Err(words::COMPARED);
    }
    let step = if asked.up { Step::Up } else { Step::Down };
    let create = asked.create.map(|(number, exptime)| (number, life(exptime, now)));
    let addition = Addition { delta: asked.delta, step, create };
    let refused = match change::add(shared, asked.key, addition, answer).await? {
        Sum::Number(number) => {
            counted(&mut answer.out, request, number, 0);
            return Ok(());
        }
        Sum::NotFound => Status::NotFound,
        Sum::NotNumber => Status::NotNumber,
    };
    tell(&mut answer.out, request.echo, Err(refused));
    Ok(())
}
