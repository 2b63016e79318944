//! Everybody who watches, and what each of them has not been sent yet.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use forebay_core::limits::memcached::{WATCHER_BYTES_MAX, WATCHERS_MAX};
use forebay_core::time::Instant;
use forebay_wire::memcached::command::Watches;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::line::begin;

/// What it takes at most to say how many events there was no room for.
const GAP_BYTES_MAX: usize = 40;

/// What an event is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Fetch = 1,
    Mutation = 2,
    Eviction = 4,
    Connection = 8,
}

/// Some kinds of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds(u8);

impl Kinds {
    pub(crate) fn has(self, kind: Kind) -> bool {
        self.0 & kind as u8 != 0
    }
}

impl From<Watches> for Kinds {
    fn from(watches: Watches) -> Self {
        let mark = |is: bool, kind: Kind| if is { kind as u8 } else { 0 };
        Self(
            mark(watches.fetchers, Kind::Fetch)
                | mark(watches.mutations, Kind::Mutation)
                | mark(watches.evictions, Kind::Eviction)
                | mark(watches.connections, Kind::Connection),
        )
    }
}

/// The events of one front. While nobody watches, an event costs one look.
#[derive(Debug, Default)]
pub(crate) struct WatchLog {
    /// What somebody wants.
    wanted: AtomicU8,
    watchers: Mutex<Watchers>,
    told: AtomicU64,
    sent: AtomicU64,
    skipped: AtomicU64,
}

#[derive(Debug, Default)]
struct Watchers {
    /// The number of the last event.
    last: u64,
    present: Vec<Arc<Unread>>,
    line: Vec<u8>,
}

/// What one watcher has not been sent.
#[derive(Debug)]
struct Unread {
    wants: Kinds,
    lines: Mutex<Lines>,
    come: Notify,
}

#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    /// Events for which there was no room, since the last for which there was.
    skipped: u64,
}

/// How the events went, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WatchStats {
    /// Watchers at present.
    pub(crate) watchers: usize,
    /// Events that somebody wanted.
    pub(crate) told: u64,
    /// Lines that were kept to be sent.
    pub(crate) sent: u64,
    /// Lines for which a watcher was too slow.
    pub(crate) skipped: u64,
}

impl WatchStats {
    /// What was counted since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            told: self.told.saturating_sub(earlier.told),
            sent: self.sent.saturating_sub(earlier.sent),
            skipped: self.skipped.saturating_sub(earlier.skipped),
            ..self
        }
    }
}

impl WatchLog {
    /// What somebody wants at present.
    pub(crate) fn wanted(&self) -> Kinds {
        Kinds(self.wanted.load(Relaxed))
    }

    /// Tells all that want it. `write` adds to the line what happened; nothing is written if nobody wants it.
    pub(crate) fn tell(&self, kind: Kind, now: Instant, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.wanted().has(kind) {
            return;
        }
        let watchers = &mut *self.watchers.lock();
        watchers.last += 1;
        watchers.line.clear();
        begin(&mut watchers.line, now, watchers.last);
        write(&mut watchers.line);
        watchers.line.push(b'\n');
        self.told.fetch_add(1, Relaxed);
        for watcher in watchers.present.iter().filter(|watcher| watcher.wants.has(kind)) {
            let took = watcher.take(&watchers.line);
            if took { &self.sent } else { &self.skipped }.fetch_add(1, Relaxed);
        }
    }

    /// A place among those who watch, or `None` if as many do as may.
    pub(crate) fn join(self: &Arc<Self>, wants: Kinds) -> Option<Watcher> {
        let mut watchers = self.watchers.lock();
        if watchers.present.len() >= WATCHERS_MAX {
            return None;
        }
        let unread = Arc::new(Unread { wants, lines: Mutex::default(), come: Notify::new() });
        watchers.present.push(Arc::clone(&unread));
        self.want(&watchers);
        Some(Watcher { unread, log: Arc::clone(self) })
    }

    pub(crate) fn stats(&self) -> WatchStats {
        WatchStats {
            watchers: self.watchers.lock().present.len(),
            told: self.told.load(Relaxed),
            sent: self.sent.load(Relaxed),
            skipped: self.skipped.load(Relaxed),
        }
    }

    fn want(&self, watchers: &Watchers) {
        let all = watchers.present.iter().fold(0, |all, watcher| all | watcher.wants.0);
        self.wanted.store(all, Relaxed);
    }
}

impl Unread {
    /// Keeps a line, if there is room for it; where some had none before it, it says how many.
    fn take(&self, line: &[u8]) -> bool {
        let lines = &mut *self.lines.lock();
        if lines.bytes.len() + GAP_BYTES_MAX + line.len() > WATCHER_BYTES_MAX {
            lines.skipped += 1;
            return false;
        }
        if lines.skipped > 0 {
            // Writing to memory does not fail.
            let _ = writeln!(lines.bytes, "[skipped: {}]", std::mem::take(&mut lines.skipped));
        }
        lines.bytes.extend_from_slice(line);
        self.come.notify_one();
        true
    }
}

/// The place of one who watches, given back when dropped.
#[derive(Debug)]
pub(crate) struct Watcher {
    unread: Arc<Unread>,
    log: Arc<WatchLog>,
}

impl Watcher {
    /// What there is to send, as soon as there is something.
    pub(crate) async fn lines(&self) -> Vec<u8> {
        loop {
            let bytes = std::mem::take(&mut self.unread.lines.lock().bytes);
            if !bytes.is_empty() {
                return bytes;
            }
            self.unread.come.notified().await;
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut watchers = self.log.watchers.lock();
        watchers.present.retain(|other| !Arc::ptr_eq(other, &self.unread));
        self.log.want(&watchers);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const NOW: Instant = Instant::from_ms(1_700_000_000_123);

    fn log_and_watcher(watches: Watches) -> (Arc<WatchLog>, Watcher) {
        let log = Arc::<WatchLog>::default();
        let watcher = log.join(watches.into()).unwrap();
        (log, watcher)
    }

    fn read(watcher: &Watcher) -> String {
        String::from_utf8(watcher.lines().now_or_never().unwrap_or_default()).unwrap()
    }

    #[test]
    fn each_is_told_of_what_it_wants_and_of_no_more() {
        let (log, fetchers) = log_and_watcher(Watches { fetchers: true, ..Watches::default() });
        let mutations = log.join(Watches { mutations: true, ..Watches::default() }.into()).unwrap();
        log.tell(Kind::Fetch, NOW, |line| line.extend_from_slice(b"one"));
        log.tell(Kind::Mutation, NOW, |line| line.extend_from_slice(b"two"));
        log.tell(Kind::Eviction, NOW, |_| panic!("nobody wants it"));
        assert_eq!(read(&fetchers), "ts=1700000000.123000 gid=1 one\n");
        assert_eq!(read(&mutations), "ts=1700000000.123000 gid=2 two\n");
        drop(mutations);
        log.tell(Kind::Mutation, NOW, |_| panic!("who wanted it is gone"));
        assert_eq!(log.stats(), WatchStats { watchers: 1, told: 2, sent: 2, skipped: 0 });
    }

    #[test]
    fn a_slow_one_holds_a_bounded_amount_and_learns_how_much_it_missed() {
        let (log, slow) = log_and_watcher(Watches { fetchers: true, ..Watches::default() });
        let long = [b'x'; 1000];
        for _ in 0..2 * WATCHER_BYTES_MAX / long.len() {
            log.tell(Kind::Fetch, NOW, |line| line.extend_from_slice(&long));
        }
        let first = read(&slow);
        assert!(first.len() <= WATCHER_BYTES_MAX && first.ends_with('\n'), "{} bytes", first.len());
        let skipped = log.stats().skipped;
        assert!(skipped > 0);
        log.tell(Kind::Fetch, NOW, |line| line.extend_from_slice(b"again"));
        let again = read(&slow);
        assert!(
            again.starts_with(&format!("[skipped: {skipped}]\nts=")) && again.ends_with(" again\n"),
            "{again}"
        );
    }

    #[test]
    fn as_many_may_watch_as_there_are_places() {
        let log = Arc::<WatchLog>::default();
        let wants = Kinds::from(Watches { fetchers: true, ..Watches::default() });
        let mut watchers: Vec<_> = (0..WATCHERS_MAX).map(|_| log.join(wants).unwrap()).collect();
        assert!(log.join(wants).is_none());
        watchers.pop();
        assert!(log.join(wants).is_some());
        watchers.clear();
        assert_eq!(log.wanted(), Kinds::default());
    }
}
