//! What all connections share, and what is answered within a turn: reads of copies, and commands without a key.

use std::sync::Arc;

use forebay_cache::{Near, NearCache};
use forebay_core::entry::{Claim, State, Version, View};
use forebay_core::error::Result;
use forebay_core::limits::OUTPUT_BYTES_MAX;
use forebay_core::limits::memcached::TURN_KEYS_MAX;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::local_store::EvictionWatcher;
use forebay_core::ports::pledges::Pledge;
use forebay_core::stats::StoreStats;
use forebay_core::time::Instant;
use forebay_wire::memcached::binary::status::Status;
use forebay_wire::memcached::command::{Command, Get};
use forebay_wire::memcached::meta::get::MetaGet;
use forebay_wire::memcached::refusal::Refusal;

use super::grants::Grants;
use super::sizes::Sizes;
use super::{batch, binary, words};
use crate::backing::Backing;
use crate::execute::binary::answer::answer;
use crate::execute::meta::get::show;
use crate::execute::paused::{Paused, PausedGet};
use crate::execute::run::{Ran, run_without_key};
use crate::execute::turn::Turn;
use crate::expiry::Ends;
use crate::reply;
use crate::serve::budget::Held;
use crate::session::{Progress, Session};
use crate::shared::Shared;
use crate::stats::counters::Count;

/// A near cache with what its clients have been granted.
pub(crate) struct Front {
    pub(super) near: Arc<NearCache>,
    pub(super) grants: Grants,
    pub(super) sizes: Sizes,
}

impl Front {
    /// Clients may store values of up to so many bytes.
    pub(crate) fn new(near: Arc<NearCache>, value_bytes_max: usize) -> Self {
        Self { near, grants: Grants::default(), sizes: Sizes::new(value_bytes_max) }
    }
}

impl Backing for Front {
    const IS_NEAR: bool = true;

    fn run(turn: &mut Turn<'_, Self>, command: &Command<'_>) -> Ran {
        match command {
            Command::Get(command) => get(turn, *command),
            Command::MetaGet(command) if meta_get(turn, command) => Ran::Done,
            Command::FlushAll(command) => {
                reply::line_unless(command.quiet, turn.out, words::FLUSH.text);
                Ran::Done
            }
            Command::MetaDebug(_) => {
                turn.tally.one(Count::Metas);
                reply::line(turn.out, words::DEBUG.text);
                Ran::Done
            }
            Command::Crawler(_) => {
                reply::line(turn.out, words::CRAWLER.text);
                Ran::Done
            }
            Command::Watch(watches) if watches.fetchers || watches.mutations || watches.evictions => {
                reply::line(turn.out, words::WATCH.text);
                Ran::Done
            }
            Command::Binary(request) => binary::run(turn, request),
            command if batch::asks(command) => Ran::Asks(None),
            command => run_without_key(turn, command),
        }
    }

    fn resume(turn: &mut Turn<'_, Self>, paused: Paused, input: &[u8]) -> Ran {
        match paused {
            Paused::Get(paused) => get(turn, paused.rest(input)),
            // None is begun.
            Paused::Dump(_) => Ran::Done,
        }
    }

    /// What the shared store has stays: there is no memory to wait with either. The client is told.
    fn refuse(turn: &mut Turn<'_, Self>, command: &Command<'_>) {
        match command {
            Command::Oversized(write) => {
                reply::line_unless(write.quiet, turn.out, Refusal::OutOfMemory.text());
            }
            Command::Binary(request) => answer(turn.out, request.echo, Err(Status::OutOfMemory)),
            _ => {}
        }
    }

    async fn ask(
        shared: &Shared<Self>,
        session: &mut Session,
        input: &[u8],
        connection: u64,
        held: &mut Held,
        out: &mut Vec<u8>,
    ) -> Progress {
        batch::carry_out(shared, session, input, connection, held, out).await
    }

    /// Nothing is pledged.
    fn kept(&self, _: Pledge) -> BoxFuture<'static, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn memory(&self) -> StoreStats {
        self.near.stats()
    }

    /// It takes none.
    fn flush_leaves_pinned(&self) -> bool {
        false
    }

    fn resize(&self, bytes_max: u64) -> bool {
        self.near.resize(bytes_max)
    }

    /// Copies go and come back; what the shared store pushes out it tells itself.
    fn watch_evictions(&self, _: Arc<dyn EvictionWatcher>) {}
}

/// Answers key by key up to the first that has no copy.
fn get(turn: &mut Turn<'_, Front>, get: Get<'_>) -> Ran {
    let mut keys = get.keys;
    let near = &turn.shared.store.near;
    let mut answered = 0;
    loop {
        let place = Paused::Get(PausedGet { place: keys.place(), touch: get.touch, versions: get.versions });
        if turn.out.len() >= OUTPUT_BYTES_MAX || answered == TURN_KEYS_MAX {
            return Ran::Paused(place);
        }
        let Some(key) = keys.next() else { break };
        let out = &mut *turn.out;
        let has_copy = get.touch.is_none()
            && near.local(key, |near| reply::value(out, key, &view(near), get.versions)).is_some();
        if !has_copy {
            return Ran::Asks(Some(place));
        }
        answered += 1;
        count_hit(turn);
    }
    turn.out.extend_from_slice(b"END\r\n");
    Ran::Done
}

/// Answers from a copy, if there is one and no more is asked for than it has.
fn meta_get(turn: &mut Turn<'_, Front>, command: &MetaGet<'_>) -> bool {
    let (now, out) = (turn.now, &mut *turn.out);
    let is_plain = command.touch.is_none() && command.named.is_none() && !asks_for_more(command);
    let show = |near: Near<'_>| show(out, command, &view(near), (Ends::new(None, None, now), None), now);
    let shown = is_plain && turn.shared.store.near.local(command.key.bytes().as_slice(), show).is_some();
    if shown {
        count_hit(turn);
    }
    shown
}

pub(super) fn count_hit(turn: &mut Turn<'_, Front>) {
    turn.tally.one(Count::Gets);
    turn.tally.one(Count::GetHits);
    turn.tally.one(Count::NearHits);
}

/// Whether something is asked for that is not known of an entry of a shared store.
pub(super) fn asks_for_more(command: &MetaGet<'_>) -> bool {
    let mut letters = command.flags.filter_map(|word| word.first());
    command.recache.is_some() || letters.any(|letter| matches!(letter, b'h' | b'l' | b't'))
}

/// A copy as an entry of a store of this process would be seen.
pub(super) fn view(near: Near<'_>) -> View<'_> {
    View {
        value: near.value,
        flags: near.flags,
        version: near.version,
        expires_at: None,
        state: State::Fresh,
        claim: Claim::None,
        read_before: false,
        accessed_at: Instant::default(),
    }
}

/// A missing entry that somebody shall load: this reader, or another.
pub(super) fn placeholder(claim: Claim, token: u64) -> View<'static> {
    let nothing = Near { value: &[], flags: 0, version: Version(token) };
    View { state: State::Leased, claim, ..view(nothing) }
}
