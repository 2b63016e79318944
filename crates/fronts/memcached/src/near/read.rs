//! `get`, `gets`, `gat`, `gats` and `mg` of what has no copy.

use std::time::Duration;

use forebay_cache::Near;
use forebay_core::entry::Claim;
use forebay_core::error::Result;
use forebay_core::limits::near::MEMCACHED_GRANT_ENDLESS;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::remote_store::{Asked, RemoteStore, Shared as Entry};
use forebay_core::time::Instant;
use forebay_wire::memcached::meta::get::MetaGet;
use futures_util::future::join_all;

use super::batch::Answer;
use super::front::{Front, asks_for_more, placeholder, view};
use super::sizes::ANSWER_WORDS_BYTES;
use super::words;
use crate::execute::meta::get::show;
use crate::execute::meta::text::echo;
use crate::expiry::{Ends, life};
use crate::reply;
use crate::shared::Shared;
use crate::stats::counters::Count;

/// Some keys of a read.
pub(super) struct Part<'i> {
    pub(super) keys: Vec<&'i [u8]>,
    pub(super) touch: Option<i32>,
    pub(super) versions: bool,
}

/// Reads a part, the last one or not.
pub(super) fn get<'i>(
    shared: &'i Shared<Front>,
    part: Part<'i>,
    is_last: bool,
    now: Instant,
) -> BoxFuture<'i, Answer> {
    Box::pin(async move {
        let mut answer = Answer::default();
        let found = match part.touch {
            None => read(shared, &part.keys, &mut answer).await,
            Some(exptime) => touch(shared, &part.keys, life(exptime, now), &mut answer).await,
        };
        let values = || found.iter().filter_map(|found| found.as_ref().ok()?.as_ref());
        if let Some(largest) = values().map(|entry| entry.value.len()).max() {
            shared.store.sizes.saw(largest);
        }
        // A node that is away costs its own keys: they are misses, unless the last ones are all like that. What has more
        // parts to come cannot end with an error here.
        let failed = found.iter().find_map(|found| found.as_ref().err()).map(words::failed);
        let failed = failed.filter(|_| found.iter().all(Result::is_err));
        // Each goes as it is shown: there may be many, and large ones.
        let keys_bytes: usize = part.keys.iter().map(|key| key.len() + ANSWER_WORDS_BYTES).sum();
        answer.out.reserve(keys_bytes + values().map(|entry| entry.value.len()).sum::<usize>());
        for (key, found) in part.keys.iter().zip(found) {
            if let Ok(Some(entry)) = found {
                reply::value(&mut answer.out, key, &view(Near::from(&entry)), part.versions);
            }
        }
        match failed {
            _ if !is_last => answer,
            Some(why) => answer.line(false, why.text),
            None => answer.line(false, "END"),
        }
    })
}

/// From copies where there are any, and the rest in one call.
pub(super) async fn read(
    shared: &Shared<Front>,
    keys: &[&[u8]],
    answer: &mut Answer,
) -> Vec<Result<Option<Entry>>> {
    let (found, asked) = shared.store.near.get_all(keys, is_plain).await;
    let plain = keys.iter().filter(|key| is_plain(key)).count();
    answer.tally.add(Count::NearMisses, asked as u64);
    answer.tally.add(Count::NearHits, plain.saturating_sub(asked) as u64);
    for found in &found {
        answer.tally.one(Count::Gets);
        answer.count(matches!(found, Ok(Some(_))), Count::GetHits, Count::GetMisses);
    }
    found
}

/// A new end of life first: who is shown a value by it may rely on that. Where the end is now, the value is shown before.
pub(super) async fn touch(
    shared: &Shared<Front>,
    keys: &[&[u8]],
    life: Option<Duration>,
    answer: &mut Answer,
) -> Vec<Result<Option<Entry>>> {
    let near = &shared.store.near;
    let found = join_all(keys.iter().map(|key| async move {
        if !is_plain(key) {
            return Ok(None);
        }
        let last = match life {
            Some(Duration::ZERO) => near.ask(&[key]).await.pop().unwrap_or(Ok(None))?,
            _ => None,
        };
        if !near.touch(key, life).await? {
            return Ok(None);
        }
        if last.is_some() { Ok(last) } else { near.ask(&[key]).await.pop().unwrap_or(Ok(None)) }
    }));
    let found = found.await;
    for found in &found {
        answer.tally.one(Count::Touches);
        answer.count(matches!(found, Ok(Some(_))), Count::TouchHits, Count::TouchMisses);
    }
    found
}

/// `mg`. A miss of one that would load asks for the lease.
pub(super) async fn meta_get(shared: &Shared<Front>, command: MetaGet<'_>, now: Instant) -> Answer {
    let mut answer = Answer::default();
    if command.named.is_some() {
        return answer.line(false, words::NAMED.text);
    }
    if asks_for_more(&command) {
        return answer.line(false, words::READ_FLAGS.text);
    }
    let key = command.key.bytes().as_slice();
    if !is_plain(key) {
        return answer.line(false, words::BAD_KEY.text);
    }
    let asked = match (command.touch, command.vivify) {
        (None, None) => read(shared, &[key], &mut answer).await,
        (Some(exptime), _) => touch(shared, &[key], life(exptime, now), &mut answer).await,
        (None, Some(_)) => {
            answer.tally.one(Count::NearMisses);
            vec![Ok(None)]
        }
    };
    let found = asked.into_iter().next().unwrap_or(Ok(None));
    let found = match (found, command.vivify) {
        (Ok(None), Some(exptime)) => {
            let asked = lease(shared, key, life(exptime, now), now).await;
            if command.touch.is_none() {
                answer.tally.one(Count::Gets);
                answer.count(asked.is_ok(), Count::GetHits, Count::GetMisses);
            }
            asked.map(Some)
        }
        (found, _) => found.map(|found| found.map(Asked::Hit)),
    };
    let ends = (Ends::new(None, None, now), None);
    match found {
        Ok(Some(Asked::Hit(entry))) => {
            shared.store.sizes.saw(entry.value.len());
            show(&mut answer.out, &command, &view(Near::from(&entry)), ends, now);
        }
        Ok(Some(Asked::Granted(grant))) => {
            show(&mut answer.out, &command, &placeholder(Claim::Won, grant.token), ends, now);
        }
        Ok(Some(Asked::Busy)) => {
            show(&mut answer.out, &command, &placeholder(Claim::Lost, 0), ends, now);
        }
        Ok(None) if command.quiet => {}
        Ok(None) => {
            answer.out.extend_from_slice(b"EN");
            echo(&mut answer.out, command.flags, &command.key);
        }
        Err(error) => return answer.line(false, words::failed(&error).text),
    }
    answer
}

/// Asks, and remembers what was granted. A lease without end is one as long as any.
async fn lease(shared: &Shared<Front>, key: &[u8], life: Option<Duration>, now: Instant) -> Result<Asked> {
    let life = life.unwrap_or(MEMCACHED_GRANT_ENDLESS);
    let asked = shared.store.near.get_or_lease(key, life).await?;
    if let Asked::Granted(grant) = asked {
        shared.store.grants.note(key, grant, now + life, shared.clock.now());
    }
    Ok(asked)
}

/// Whether a shared store may be asked for a key. There is nothing under any other.
pub(super) fn is_plain(key: &[u8]) -> bool {
    !key.is_empty() && key.iter().all(|byte| *byte > b' ' && *byte != 0x7f)
}
