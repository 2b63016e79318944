//! Commands that the shared store must be asked for: as many as came together, at one time, answered in their order.

use std::hash::{DefaultHasher, Hash, Hasher};

use forebay_core::limits::near::MEMCACHED_NEAR_KEYS_MAX;
use forebay_core::ports::BoxFuture;
use forebay_core::time::Instant;
use forebay_wire::memcached::command::{Command, Get};
use futures_util::future::join_all;

use super::front::Front;
use super::{change, read, write};
use crate::execute::get::Paused;
use crate::reply;
use crate::session::{Next, Progress, Session};
use crate::shared::Shared;
use crate::stats::counters::{Count, Tally};

/// The answer to one command, or to some of its keys.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) out: Vec<u8>,
    pub(super) tally: Tally,
}

impl Answer {
    /// One line.
    pub(super) fn line(mut self, quiet: bool, text: &str) -> Self {
        reply::line_unless(quiet, &mut self.out, text);
        self
    }

    /// One of two counts.
    pub(super) fn count(&mut self, hit: bool, hits: Count, misses: Count) {
        self.tally.one(if hit { hits } else { misses });
    }
}

/// Whether a command is carried out here.
pub(super) fn asks(command: &Command<'_>) -> bool {
    matches!(
        command,
        Command::Get(_)
            | Command::Store(_)
            | Command::Oversized(_)
            | Command::Delete(_)
            | Command::Count(_)
            | Command::Touch(_)
            | Command::MetaGet(_)
            | Command::MetaSet(_)
            | Command::MetaDelete(_)
            | Command::MetaCount(_)
    )
}

/// The keys in work, and whether they are changed.
#[derive(Default)]
struct Keys(Vec<(u64, bool)>);

impl Keys {
    fn room(&self) -> usize {
        MEMCACHED_NEAR_KEYS_MAX.saturating_sub(self.0.len())
    }

    /// False where a command on the key has to wait for one before it: a client is answered as if there were no others.
    fn add(&mut self, key: &[u8], changes: bool) -> bool {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let hash = hasher.finish();
        let waits = self.0.iter().any(|(other, changed)| *other == hash && (changes || *changed));
        if !waits {
            self.0.push((hash, changes));
        }
        !waits
    }
}

/// Carries out the commands at the head of `input`, as many as may be in work at one time. A command that needs nobody else,
/// or that must see what one before it has done, ends them.
pub(super) async fn carry_out(
    shared: &Shared<Front>,
    session: &mut Session,
    input: &[u8],
    connection: u64,
    out: &mut Vec<u8>,
) -> Progress {
    let (mut keys, mut work, mut consumed) = (Keys::default(), Vec::new(), 0);
    let now = shared.clock.now();
    let mut tally = Tally::default();
    while keys.room() > 0 {
        let rest = input.get(consumed..).unwrap_or_default();
        let Some(head) = session.head(rest, &shared.limits) else { break };
        let (begun, left) = match head.command {
            Command::Get(get) => match part(get, &mut keys) {
                Some((part, left)) => (read::get(shared, part, left.is_none(), now), left),
                None => break,
            },
            command => match begin(shared, command, &mut keys, now) {
                Some(begun) => (begun, None),
                None => break,
            },
        };
        work.push(begun);
        consumed += session.done(&head, left);
        if left.is_some() {
            break;
        }
    }
    if work.is_empty() {
        // It was asked for something that is not there.
        return Progress { consumed: 0, next: Next::Close };
    }
    for answer in join_all(work).await {
        out.extend_from_slice(&answer.out);
        tally.join(&answer.tally);
    }
    shared.counters.take(&mut tally, connection);
    Progress { consumed, next: Next::Send }
}

/// As many keys of a read as there is room for, and where it goes on; `None` if it has to wait.
fn part<'i>(get: Get<'i>, keys: &mut Keys) -> Option<(read::Part<'i>, Option<Paused>)> {
    let mut part = read::Part { keys: Vec::new(), touch: get.touch, versions: get.versions };
    let mut words = get.keys;
    let paused = |words: forebay_wire::memcached::words::Words<'i>| {
        Some(Paused { place: words.place(), touch: get.touch, versions: get.versions })
    };
    loop {
        let here = words;
        let Some(key) = words.next() else { return Some((part, None)) };
        if keys.room() == 0 || !keys.add(key, get.touch.is_some()) {
            return if part.keys.is_empty() { None } else { Some((part, paused(here))) };
        }
        part.keys.push(key);
    }
}

/// Begins any other command; `None` if it has to wait, or is none of those.
fn begin<'i>(
    shared: &'i Shared<Front>,
    command: Command<'i>,
    keys: &mut Keys,
    now: Instant,
) -> Option<BoxFuture<'i, Answer>> {
    match command {
        Command::Store(store) => {
            keys.add(store.key, true).then(|| Box::pin(write::store(shared, store, now)) as BoxFuture<'i, _>)
        }
        Command::Oversized(write) => {
            keys.add(write.key.as_slice(), true).then(|| Box::pin(write::oversized(shared, write)) as _)
        }
        Command::Delete(delete) => {
            keys.add(delete.key, true).then(|| Box::pin(change::delete(shared, delete)) as _)
        }
        Command::Count(count) => {
            keys.add(count.key, true).then(|| Box::pin(change::count(shared, count)) as _)
        }
        Command::Touch(touch) => {
            keys.add(touch.key, true).then(|| Box::pin(change::touch(shared, touch, now)) as _)
        }
        Command::MetaGet(get) => {
            let changes = get.touch.is_some() || get.vivify.is_some();
            let key = get.key.bytes().as_slice();
            keys.add(key, changes).then(|| Box::pin(read::meta_get(shared, get, now)) as _)
        }
        Command::MetaSet(set) => {
            let key = set.key.bytes().as_slice();
            keys.add(key, true).then(|| Box::pin(write::meta_set(shared, set, now)) as _)
        }
        Command::MetaDelete(delete) => {
            let key = delete.key.bytes().as_slice();
            keys.add(key, true).then(|| Box::pin(change::meta_delete(shared, delete)) as _)
        }
        Command::MetaCount(count) => {
            let key = count.key.bytes().as_slice();
            keys.add(key, true).then(|| Box::pin(change::meta_count(shared, count, now)) as _)
        }
        _ => None,
    }
}
