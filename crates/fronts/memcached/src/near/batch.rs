//! Commands that the shared store must be asked for: as many as came together, at one time, answered in their order.

use std::hash::{DefaultHasher, Hash, Hasher};

use forebay_core::limits::near::{MEMCACHED_NEAR_KEYS_MAX, MEMCACHED_NEAR_ROOM_WAIT};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::Clock;
use forebay_core::time::Instant;
use forebay_wire::memcached::command::{Command, Get};
use futures_util::future::join_all;

use super::front::Front;
use super::{binary, change, read, write};
use crate::execute::paused::{Paused, PausedGet};
use crate::reply;
use crate::serve::budget::Held;
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

/// The keys in work, whether they are changed, and room for the values that are read.
pub(super) struct Keys<'h> {
    keys: Vec<(u64, bool)>,
    held: &'h mut Held,
    /// What one value may take.
    each: usize,
    /// What all of them may.
    bytes: usize,
}

impl<'h> Keys<'h> {
    fn new(held: &'h mut Held, each: usize) -> Self {
        Self { keys: Vec::new(), held, each, bytes: 0 }
    }

    fn is_full(&self) -> bool {
        self.keys.len() >= MEMCACHED_NEAR_KEYS_MAX
    }

    /// False where a command on the key has to wait for one before it: a client is answered as if there were no others.
    pub(super) fn add(&mut self, key: &[u8], changes: bool) -> bool {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let hash = hasher.finish();
        let waits = self.keys.iter().any(|(other, changed)| *other == hash && (changes || *changed));
        if !waits {
            self.keys.push((hash, changes));
        }
        !waits
    }

    /// The same for a key whose value is asked for. False too where there is no room for it beside those before it: then it is
    /// asked for after them.
    pub(super) fn add_read(&mut self, key: &[u8], changes: bool) -> bool {
        let bytes = self.bytes.saturating_add(self.each);
        let added = (self.keys.is_empty() || self.held.grow(bytes)) && self.add(key, changes);
        if added {
            self.bytes = bytes;
        }
        added
    }

    /// Waits for room for the first. Whoever has it gives it back when its client has read, so that may take long.
    async fn room(self, clock: &dyn Clock) {
        let given_up = async { clock.sleep_until(clock.now() + MEMCACHED_NEAR_ROOM_WAIT).await };
        self.held.grow_before(self.bytes, given_up).await;
    }
}

/// Carries out the commands at the head of `input`, as many as may be in work at one time. A command that needs nobody else,
/// or that must see what one before it has done, ends them.
pub(super) async fn carry_out(
    shared: &Shared<Front>,
    session: &mut Session,
    input: &[u8],
    connection: u64,
    held: &mut Held,
    out: &mut Vec<u8>,
) -> Progress {
    let (mut keys, mut work, mut consumed) = (Keys::new(held, shared.store.sizes.answer()), Vec::new(), 0);
    let now = shared.clock.now();
    let mut tally = Tally::default();
    while !keys.is_full() {
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
    keys.room(&*shared.clock).await;
    let mut answers = join_all(work).await;
    match answers.as_mut_slice() {
        // It may be large, and needs no copy.
        [only] if out.is_empty() => std::mem::swap(out, &mut only.out),
        answers => out.reserve_exact(answers.iter().map(|answer| answer.out.len()).sum()),
    }
    for answer in answers {
        out.extend_from_slice(&answer.out);
        tally.join(&answer.tally);
    }
    shared.counters.take(&mut tally, connection);
    Progress { consumed, next: Next::Send }
}

/// As many keys of a read as there is room for, and where it goes on; `None` if it has to wait.
fn part<'i>(get: Get<'i>, keys: &mut Keys<'_>) -> Option<(read::Part<'i>, Option<Paused>)> {
    let mut part = read::Part { keys: Vec::new(), touch: get.touch, versions: get.versions };
    let mut words = get.keys;
    let paused = |words: forebay_wire::memcached::words::Words<'i>| {
        Some(Paused::Get(PausedGet { place: words.place(), touch: get.touch, versions: get.versions }))
    };
    loop {
        let here = words;
        let Some(key) = words.next() else { return Some((part, None)) };
        if keys.is_full() || !keys.add_read(key, get.touch.is_some()) {
            return if part.keys.is_empty() { None } else { Some((part, paused(here))) };
        }
        part.keys.push(key);
    }
}

/// Begins any other command; `None` if it has to wait, or is none of those.
fn begin<'i>(
    shared: &'i Shared<Front>,
    command: Command<'i>,
    keys: &mut Keys<'_>,
    now: Instant,
) -> Option<BoxFuture<'i, Answer>> {
    match command {
        Command::Store(store) => {
            keys.add(store.key, true).then(|| Box::pin(write::store(shared, store, now)) as BoxFuture<'i, _>)
        }
        Command::Oversized(write) => {
            keys.add(write.key.as_slice(), true).then(|| Box::pin(write::too_large(shared, write)) as _)
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
            keys.add_read(key, changes).then(|| Box::pin(read::meta_get(shared, get, now)) as _)
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
        Command::Binary(request) => binary::begin(shared, request, keys, now),
        _ => None,
    }
}
