//! The writes that the source has not yet, by key, within bounds. Readers are shown them before the cache is asked.

use std::collections::HashMap;
use std::sync::Arc;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::cache::WRITE_BEHIND_ENTRY_BYTES;
use forebay_core::payload::Payload;
use forebay_core::time::Instant;
use parking_lot::Mutex;
use tokio::sync::{Mutex as Turn, Notify};

use super::options::WriteBehindStats;

/// Of every key the newest write that was accepted and not yet written.
#[derive(Debug)]
pub(super) struct Table {
    keys_max: usize,
    bytes_max: usize,
    state: Mutex<State>,
    /// Told when the last pending write has gone, or when no more of them will go.
    drained: Notify,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Arc<str>, Entry>,
    /// The sequence that was given out last.
    sequence: u64,
    /// `keys` and `bytes` are those of pending writes and, for the bytes, of writes that are being accepted.
    stats: WriteBehindStats,
    /// Nothing will be written any more.
    over: bool,
}

/// There is one for every key with a pending write or with somebody at work on it.
#[derive(Debug, Default)]
struct Entry {
    pending: Option<Pending>,
    turns: Arc<Turns>,
    /// How many are at work on it.
    visits: usize,
    /// The sequence that was given out for it last, accepted or not.
    newest: u64,
    /// The greatest sequence that was written or given up while the entry is there: that may be before anybody was told
    /// that the queue has it.
    ended: u64,
}

#[derive(Debug)]
struct Pending {
    sequence: u64,
    value: Option<Payload>,
    bytes: usize,
    /// When something last happened to it.
    heard_at: Instant,
}

/// Whose turn it is with a key.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// To be accepted: the queue takes writes of one key in the order of their sequence.
    pub(super) accept: Turn<()>,
    /// To be in the writer's hands.
    pub(super) write: Turn<()>,
}

/// Somebody's work on one key: the entry stays for as long.
#[derive(Debug)]
pub(super) struct Visit {
    table: Arc<Table>,
    key: Arc<str>,
    turns: Arc<Turns>,
    /// Bytes that are kept free for a write that is being accepted.
    reserved: usize,
}

/// Held by who writes. Whoever waits for the last write hears of it when that is over.
#[derive(Debug)]
pub(super) struct Writing(pub(super) Arc<Table>);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A write of which nothing was heard for a while.
#[derive(Debug)]
pub(super) struct Quiet {
    pub(super) sequence: u64,
    heard_at: Instant,
}

impl Table {
    pub(super) fn new(keys_max: usize, bytes_max: usize) -> Self {
        Self { keys_max, bytes_max, state: Mutex::default(), drained: Notify::new() }
    }

    /// The value that a reader is to be shown, `None` inside where the key was deleted; `None` if nothing is pending.
    pub(super) fn pending(&self, key: &str) -> Option<Option<Payload>> {
        Some(self.state.lock().entries.get(key)?.pending.as_ref()?.value.clone())
    }

    /// Keeps room for a write of the key. `Full`: there is none; `TooLarge`: there never will be.
    pub(super) fn admit(self: &Arc<Self>, key: &str, value: Option<&Payload>) -> Result<Visit> {
        let refuse = |kind| Err(Error::new(kind, "write behind key", key.escape_debug().to_string()));
        let bytes = bytes(key, value);
        if bytes > self.bytes_max {
            return refuse(Kind::TooLarge);
        }
        let mut state = self.state.lock();
        let is_new = !state.entries.contains_key(key);
        if (is_new && state.entries.len() >= self.keys_max) || state.stats.bytes + bytes > self.bytes_max {
            return refuse(Kind::Full);
        }
        state.stats.bytes += bytes;
        Ok(self.enter(&mut state, key, bytes))
    }

    /// Begins to work on a key whose write is in the queue.
    pub(super) fn visit(self: &Arc<Self>, key: &str) -> Visit {
        self.enter(&mut self.state.lock(), key, 0)
    }

    fn enter(self: &Arc<Self>, state: &mut State, key: &str, reserved: usize) -> Visit {
        let known = state.entries.get_key_value(key).map(|(key, _)| Arc::clone(key));
        let key = known.unwrap_or_else(|| key.into());
        let entry = state.entries.entry(Arc::clone(&key)).or_default();
        entry.visits += 1;
        Visit { table: Arc::clone(self), turns: Arc::clone(&entry.turns), key, reserved }
    }

    /// Takes in a write that was found in the queue, whatever the bounds: it was accepted before. Nothing was heard of it yet.
    pub(super) fn restore(&self, key: &str, sequence: u64, value: Option<Payload>) {
        let mut state = self.state.lock();
        state.sequence = state.sequence.max(sequence);
        let heard_at = Instant::default();
        let pending = Pending { sequence, bytes: bytes(key, value.as_ref()), value, heard_at };
        state.set(key, pending);
    }

    /// What nothing was heard of since then.
    pub(super) fn quiet(&self, since: Instant) -> HashMap<Arc<str>, Quiet> {
        let state = self.state.lock();
        let quiet = |(key, entry): (&Arc<str>, &Entry)| {
            let pending = entry.pending.as_ref().filter(|pending| pending.heard_at <= since)?;
            let quiet = Quiet { sequence: pending.sequence, heard_at: pending.heard_at };
            Some((Arc::clone(key), quiet))
        };
        state.entries.iter().filter_map(quiet).collect()
    }

    /// Forgets a write that is no longer in the queue, unless something has happened to its key meanwhile; `before` is
    /// called first. True if it was forgotten.
    pub(super) fn gone(&self, key: &str, quiet: &Quiet, before: impl FnOnce()) -> bool {
        let mut state = self.state.lock();
        let is_same =
            |pending: &Pending| pending.sequence == quiet.sequence && pending.heard_at == quiet.heard_at;
        let entry = state.entries.get(key).filter(|entry| entry.visits == 0);
        if !entry.is_some_and(|entry| entry.pending.as_ref().is_some_and(is_same)) {
            return false;
        }
        before();
        state.stats.gone += 1;
        self.end(&mut state, key, quiet.sequence);
        state.leave(key, 0);
        true
    }

    /// An attempt has failed.
    pub(super) fn failed(&self) {
        self.state.lock().stats.failed += 1;
    }

    pub(super) fn stats(&self) -> WriteBehindStats {
        self.state.lock().stats
    }

    /// The sequence that was given out last.
    pub(super) fn sequence(&self) -> u64 {
        self.state.lock().sequence
    }

    /// Waits until nothing is pending. `Closed`: something is, and will not be written any more.
    pub(super) async fn drained(&self) -> Result<()> {
        loop {
            let mut drained = std::pin::pin!(self.drained.notified());
            drained.as_mut().enable();
            match &*self.state.lock() {
                state if state.stats.keys == 0 => return Ok(()),
                state if state.over => {
                    let pending = format!("{} writes are pending", state.stats.keys);
                    return Err(Error::new(Kind::Closed, "drain write-behind", pending));
                }
                _ => {}
            }
            drained.await;
        }
    }

    /// Says that nothing will be written any more.
    fn close(&self) {
        self.state.lock().over = true;
        self.drained.notify_waiters();
    }

    /// What is pending up to that sequence is so no longer.
    fn end(&self, state: &mut State, key: &str, sequence: u64) {
        let Some(entry) = state.entries.get_mut(key) else { return };
        entry.ended = entry.ended.max(sequence);
        if let Some(over) = entry.pending.take_if(|pending| pending.sequence <= sequence) {
            state.stats.keys -= 1;
            state.stats.bytes -= over.bytes;
        }
        if state.stats.keys == 0 {
            self.drained.notify_waiters();
        }
    }
}

impl Entry {
    fn hear(&mut self, now: Instant) {
        self.pending.iter_mut().for_each(|pending| pending.heard_at = now);
    }
}

impl State {
    /// Makes it the pending write of its key, unless a newer one is.
    fn set(&mut self, key: &str, pending: Pending) {
        if !self.entries.contains_key(key) {
            self.entries.insert(key.into(), Entry::default());
        }
        let Some(entry) = self.entries.get_mut(key) else { return };
        match &entry.pending {
            Some(present) if present.sequence >= pending.sequence => return,
            Some(present) => self.stats.bytes -= present.bytes,
            None => self.stats.keys += 1,
        }
        self.stats.bytes += pending.bytes;
        entry.newest = entry.newest.max(pending.sequence);
        entry.pending = Some(pending);
    }

    /// One visit or none is over; without visits and a pending write the entry goes.
    fn leave(&mut self, key: &str, visits: usize) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.visits -= visits;
        if entry.visits == 0 && entry.pending.is_none() {
            self.entries.remove(key);
        }
    }
}

impl Visit {
    pub(super) fn turns(&self) -> Arc<Turns> {
        Arc::clone(&self.turns)
    }

    /// Begins a write of the key, whose turn it is: its sequence, which goes on from the time, so that it also does so over
    /// a restart.
    pub(super) fn begin(&self, now: Instant) -> u64 {
        let mut state = self.table.state.lock();
        let sequence = state.sequence.saturating_add(1).max(now.as_ms() << SEQUENCE_TIME_SHIFT);
        state.sequence = sequence;
        if let Some(entry) = state.entries.get_mut(&self.key) {
            entry.newest = sequence;
            entry.hear(now);
        }
        sequence
    }

    /// The queue has the write: readers are shown it from now on, unless the source has taken it already.
    pub(super) fn accepted(&mut self, sequence: u64, value: Option<Payload>, now: Instant) {
        let mut state = self.table.state.lock();
        if state.entries.get(&self.key).is_none_or(|entry| entry.ended >= sequence) {
            return;
        }
        state.stats.bytes -= self.reserved;
        let pending = Pending { sequence, value, bytes: self.reserved, heard_at: now };
        self.reserved = 0;
        state.set(&self.key, pending);
    }

    /// Whether no newer write of the key was begun.
    pub(super) fn is_newest(&self, sequence: u64) -> bool {
        self.table.state.lock().entries.get(&self.key).is_some_and(|entry| entry.newest == sequence)
    }

    /// Something has happened to the key.
    pub(super) fn heard(&self, now: Instant) {
        let mut state = self.table.state.lock();
        state.entries.get_mut(&self.key).into_iter().for_each(|entry| entry.hear(now));
    }

    /// The source has taken the write.
    pub(super) fn written(&self, sequence: u64) {
        let mut state = self.table.state.lock();
        state.stats.written += 1;
        self.table.end(&mut state, &self.key, sequence);
    }

    /// The source will not get the write.
    pub(super) fn given_up(&self, sequence: u64) {
        let mut state = self.table.state.lock();
        state.stats.given_up += 1;
        self.table.end(&mut state, &self.key, sequence);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut state = self.table.state.lock();
        state.stats.bytes -= self.reserved;
        state.leave(&self.key, 1);
    }
}

/// Sequences that one millisecond has room for, as a power of two, before they run ahead of the time.
const SEQUENCE_TIME_SHIFT: u32 = 20;

fn bytes(key: &str, value: Option<&Payload>) -> usize {
    key.len() + value.map_or(0, |value| value.len()) + WRITE_BEHIND_ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_ms(1_000);
    const LATER: Instant = Instant::from_ms(2_000);

    fn table() -> Arc<Table> {
        Arc::new(Table::new(10, 10_000))
    }

    fn accept(table: &Arc<Table>, value: &str, now: Instant) -> u64 {
        let value = Some(Payload::from(value));
        let mut visit = table.admit("key", value.as_ref()).unwrap();
        let sequence = visit.begin(now);
        visit.accepted(sequence, value, now);
        sequence
    }

    fn shown(table: &Table) -> Option<Payload> {
        table.pending("key").flatten()
    }

    #[test]
    fn a_write_that_ended_before_its_acceptance_was_told_is_not_pending() {
        let table = table();
        let mut visit = table.admit("key", None).unwrap();
        let sequence = visit.begin(NOW);
        table.visit("key").written(sequence);
        visit.accepted(sequence, None, NOW);
        drop(visit);
        assert_eq!((table.pending("key"), table.stats().bytes), (None, 0));
        assert!(table.state.lock().entries.is_empty());
    }

    #[test]
    fn a_newer_write_stays_when_an_older_one_ends() {
        let table = table();
        let older = accept(&table, "older", NOW);
        let newer = accept(&table, "newer", NOW);
        table.visit("key").written(older);
        assert_eq!(shown(&table).as_deref(), Some(&b"newer"[..]));
        assert!(table.visit("key").is_newest(newer) && !table.visit("key").is_newest(older));
        table.visit("key").given_up(newer);
        assert_eq!((shown(&table), table.stats().bytes), (None, 0));
    }

    #[test]
    fn of_writes_found_in_the_queue_the_newest_is_shown_and_the_numbers_go_on() {
        let table = table();
        for (sequence, value) in [(1 << 40, "older"), (1 << 60, "newest"), (1 << 50, "newer")] {
            table.restore("key", sequence, Some(value.into()));
        }
        assert_eq!(shown(&table).as_deref(), Some(&b"newest"[..]));
        assert_eq!(table.stats().keys, 1);
        assert!(accept(&table, "next", NOW) > 1 << 60);
    }

    #[test]
    fn a_write_is_not_forgotten_when_something_has_happened_to_its_key_since_it_was_quiet() {
        let table = table();
        accept(&table, "value", NOW);
        let forget = || table.quiet(NOW).iter().any(|(key, quiet)| table.gone(key, quiet, || ()));
        let quiet = table.quiet(NOW);
        let visit = table.visit("key");
        assert!(!forget(), "somebody is at work on it");
        visit.heard(LATER);
        drop(visit);
        assert!(!quiet.iter().any(|(key, quiet)| table.gone(key, quiet, || ())), "it was heard of");
        assert!(table.quiet(NOW).is_empty() && shown(&table).is_some());
        let quiet = table.quiet(LATER);
        accept(&table, "newer", LATER);
        assert!(!quiet.iter().any(|(key, quiet)| table.gone(key, quiet, || ())), "there is a newer one");
        assert!(table.quiet(LATER).iter().any(|(key, quiet)| table.gone(key, quiet, || ())));
        assert_eq!((shown(&table), table.stats().gone), (None, 1));
    }
}
