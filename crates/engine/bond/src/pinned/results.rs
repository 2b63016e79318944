//! The pinned results of one process: opened from their log, kept in it, closed.

use std::path::Path;
use std::sync::Arc;

use forebay_core::entry::Version;
use forebay_core::error::{Kind, Result};
use forebay_core::limits;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::{Clock, Run, Work};
use forebay_core::ports::files::Files;
use forebay_core::ports::pledges::Pledge;
use forebay_core::stats::PinnedStats;
use forebay_log::{Damaged, Disk, Log, LogOptions};
use parking_lot::{Condvar, Mutex};

use super::keeper::{Keeper, Step};
use super::prefixes::Prefixes;
use super::progress::{Progress, block_on};
use super::record;
use super::table::{Cause, Table};

/// What results are opened with.
#[derive(Clone, Debug)]
pub struct ResultsOptions {
    /// Which keys they are.
    pub prefixes: Prefixes,
    /// The budget, keys and overhead included. The log takes about twice that of the disk.
    pub bytes_max: u64,
    /// The largest value.
    pub value_bytes_max: usize,
    /// What to do with a damaged record. Set aside, an older state of its key may be taken for the newest one.
    pub damaged: Damaged,
}

impl ResultsOptions {
    /// The defaults for these prefixes.
    pub fn new(prefixes: Prefixes) -> Self {
        Self {
            prefixes,
            bytes_max: limits::memory::PINNED_BYTES_DEFAULT,
            value_bytes_max: limits::VALUE_BYTES_MAX_DEFAULT,
            damaged: Damaged::default(),
        }
    }

    /// A file has room for the largest value, and for the largest that is there: it was confirmed, and may have to be written
    /// again. Nor does a smaller budget make what is there less.
    fn log(&self, present: &Present, segment_bytes_min: u64) -> LogOptions {
        let largest = (self.value_bytes_max + limits::KEY_BYTES_MAX) as u64 + SEGMENT_BYTES_BESIDE;
        let bytes = largest.max(present.largest).max(segment_bytes_min).next_multiple_of(4_096);
        let segment_bytes = u32::try_from(bytes).unwrap_or(limits::log::SEGMENT_BYTES_MAX);
        let beyond = limits::memory::PINNED_SEGMENTS_BEYOND * u64::from(segment_bytes);
        LogOptions {
            segment_bytes,
            pending_bytes_max: limits::log::PENDING_BYTES_MAX.max(2 * segment_bytes as usize),
            disk_bytes_max: self.bytes_max.max(present.total).saturating_mul(2).saturating_add(beyond),
            damaged: self.damaged,
        }
    }
}

/// What a file of the log takes beside the value and key of its only record, and more.
const SEGMENT_BYTES_BESIDE: u64 = 4_096;

/// What lies in the directory.
#[derive(Default)]
struct Present {
    total: u64,
    largest: u64,
}

impl Present {
    fn of(files: &dyn Files) -> Result<Self> {
        files.list()?.iter().try_fold(Self::default(), |all, name| {
            let bytes = files.open(name)?.len()?;
            Ok(Self { total: all.total + bytes, largest: all.largest.max(bytes) })
        })
    }
}

/// The results, and what must be run for them.
pub struct Opened {
    /// The handle.
    pub results: Results,
    /// Threads: one takes changes to the log, the others are the log's. Without them nothing becomes durable.
    pub work: Vec<Work>,
    /// Results that were recovered.
    pub recovered: u64,
    /// Results that were there and are given up, because no prefix pins their keys any more.
    pub unpinned: u64,
}

/// The pinned results of this process. Cheap to clone; when the last clone is gone they are closed.
#[derive(Clone)]
pub struct Results {
    pub(super) shared: Arc<Shared>,
    _owner: Arc<Owner>,
}

/// What handles and work share.
pub(super) struct Shared {
    pub(super) table: Mutex<Table>,
    pub(super) log: Log,
    pub(super) segment_bytes: u64,
    pub(super) progress: Progress,
    /// Taken before the table.
    pub(super) keeper: Mutex<Keeper>,
    prefixes: Prefixes,
    closing: Mutex<bool>,
    changed: Condvar,
}

struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Results {
    /// Opens the results in `files`, or begins with none. What was said to be durable is there, unless its time is over.
    ///
    /// `Damaged`: a record that had been durable does not verify; nothing was changed. `Unsupported`: a newer program wrote
    /// it. `Full`, `Io`: the disk.
    pub fn open(files: Arc<dyn Files>, options: ResultsOptions, clock: Arc<dyn Clock>) -> Result<Opened> {
        Self::open_with(files, options, limits::memory::PINNED_SEGMENT_BYTES_MIN, clock)
    }

    pub(super) fn open_with(
        files: Arc<dyn Files>,
        options: ResultsOptions,
        segment_bytes_min: u64,
        clock: Arc<dyn Clock>,
    ) -> Result<Opened> {
        let now = clock.now();
        let bytes_max = usize::try_from(options.bytes_max).unwrap_or(usize::MAX);
        let mut table = Table::new(bytes_max, options.value_bytes_max, Version::first(now).0);
        let log = options.log(&Present::of(&*files)?, segment_bytes_min);
        let segment_bytes = log.segment_bytes.into();
        let opened = forebay_log::open(files, log, &mut |found| {
            let (head, key, value) = record::decode(found.kind, found.body)?;
            table.restore(head, key, value, found.position, now);
            Ok(())
        })?;
        table.begin();
        let (recovered, unpinned) = unpin(&mut table, &options.prefixes);
        let shared = Arc::new(Shared {
            table: Mutex::new(table),
            log: opened.log,
            segment_bytes,
            progress: Progress::new(),
            keeper: Mutex::default(),
            prefixes: options.prefixes,
            closing: Mutex::new(false),
            changed: Condvar::new(),
        });
        let keeper = Arc::clone(&shared);
        let mut work = opened.work;
        let keep = move || keeper.keep_until_closed(&*clock);
        work.push(Work { name: "pinned-keeper", run: Run::Thread(Box::new(keep)) });
        let results = Self { _owner: Arc::new(Owner(Arc::clone(&shared))), shared };
        Ok(Opened { results, work, recovered, unpinned })
    }

    /// As [`open`](Self::open), in the folder `pinned` of the data directory. `None`: nothing is pinned and nothing ever was,
    /// so there is no folder. What was pinned once is given up even when nothing is any more.
    pub fn open_beside(
        data: &Path,
        options: ResultsOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Option<Opened>> {
        let folder = data.join("pinned");
        if options.prefixes.is_empty() && !folder.is_dir() {
            return Ok(None);
        }
        let opened = Self::open(Arc::new(Disk::open(folder)?), options, clock)?;
        if opened.unpinned > 0 {
            tracing::warn!(
                count = opened.unpinned,
                "results are given up whose keys are not pinned any more"
            );
        }
        Ok(Some(opened))
    }

    /// Whether any key is one of theirs.
    pub fn has_any(&self) -> bool {
        !self.shared.prefixes.is_empty()
    }

    /// Whether the key is one of theirs.
    pub fn has(&self, key: &[u8]) -> bool {
        self.shared.prefixes.has(key)
    }

    /// What must be durable before the key's state is told.
    pub fn pledge(&self, key: &[u8]) -> Option<Pledge> {
        self.shared.table.lock().unkept.place(key).map(Pledge)
    }

    /// As [`Pledges::kept`](forebay_core::ports::pledges::Pledges::kept).
    pub fn kept(&self, pledge: Pledge) -> BoxFuture<'static, Result<()>> {
        self.shared.progress.wait(pledge)
    }

    /// The same, blocking this thread.
    pub fn wait_kept(&self, pledge: Pledge) -> Result<()> {
        block_on(self.kept(pledge))
    }

    /// The state at this moment.
    pub fn stats(&self) -> PinnedStats {
        let stats = self.shared.table.lock().stats();
        PinnedStats { log: self.shared.log.stats(), ..stats }
    }

    /// Takes nothing more, has what was changed made durable, and lets the work end. Returns at once.
    pub fn close(&self) {
        self.shared.close();
    }

    /// One of the port's verbs, on the table. If it changed something, the work is told.
    pub(super) fn act<T>(&self, verb: impl FnOnce(&mut Table) -> T) -> T {
        let mut table = self.shared.table.lock();
        let before = table.unkept.last();
        let answer = verb(&mut table);
        let changed = table.unkept.last() > before;
        drop(table);
        if changed {
            // Taken and given back, so that the work is either before its look or asleep.
            drop(self.shared.closing.lock());
            self.shared.changed.notify_one();
        }
        answer
    }

    /// Does one piece of what the work would do, and says whether there was one. For simulations that run no threads.
    pub fn step(&self) -> bool {
        let worked = matches!(self.shared.keep_step(), Step::Worked);
        self.shared.log.step() || worked
    }
}

impl Shared {
    fn close(&self) {
        *self.closing.lock() = true;
        self.changed.notify_all();
    }

    /// Runs until the results are closed and what was changed is durable, or cannot be.
    fn keep_until_closed(&self, clock: &dyn Clock) {
        loop {
            match self.keep_step() {
                Step::Worked => {}
                // An error is what the next step finds.
                Step::Waits(sequence) => drop(self.log.wait_durable(sequence)),
                Step::NotReady(room) => drop(block_on(room)),
                Step::Full => {
                    let mut closing = self.closing.lock();
                    if *closing {
                        break;
                    }
                    self.changed.wait_for(&mut closing, limits::memory::PINNED_RETRY_PAUSE);
                }
                Step::Idle => {
                    let mut closing = self.closing.lock();
                    let idle = || self.table.lock().unkept.next().is_none();
                    if idle() {
                        if *closing {
                            break;
                        }
                        self.changed.wait_for(&mut closing, limits::memory::PINNED_SWEEP_PAUSE);
                    }
                }
                Step::Ended => break,
            }
            self.table.lock().sweep(clock.now());
        }
        self.table.lock().refuses = true;
        self.progress.end(Kind::Closed, "the results are closed");
        self.log.close();
    }
}

/// Gives up what no prefix pins any more: it may be forgotten, so it is forgotten, and cannot come back when a prefix does.
fn unpin(table: &mut Table, prefixes: &Prefixes) -> (u64, u64) {
    let recovered = table.entries.len() as u64;
    let unpinned: Vec<_> = table.entries.keys().filter(|key| !prefixes.has(key)).cloned().collect();
    for key in &unpinned {
        table.remove(key, Cause::Removed);
    }
    (recovered - unpinned.len() as u64, unpinned.len() as u64)
}
