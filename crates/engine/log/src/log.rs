//! The handle that callers hold, and what all its clones share.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::task::Waker;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::ports::files::Files;
use forebay_core::stats::LogStats;
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::append::room::{Class, Fit, Room};
use crate::durable::{Durable, Progress};
use crate::format;
use crate::options::LogOptions;
use crate::segment::Handles;
use crate::state::{Beside, Phase, Retired, State};
use crate::writer::Step;

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Unique and increasing over the log's whole life; not always by one.
    pub sequence: u64,
    /// The segment's number.
    pub segment: u64,
    /// Where in the segment the record begins.
    pub offset: u32,
}

/// A record as it is replayed or scanned.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Where it lies.
    pub position: Position,
    /// The caller's own kind.
    pub kind: u8,
    /// What was appended.
    pub body: &'a [u8],
}

/// An open log. Cheap to clone; when the last clone is dropped the log closes.
///
/// Appending is synchronous and touches no file. The work that [`open`](crate::open) returned writes and syncs; while
/// one batch is being synced the next one gathers, so that many appends share one sync without a timer.
#[derive(Clone)]
pub struct Log {
    pub(crate) shared: Arc<Shared>,
    _owner: Arc<Owner>,
}

/// Closes the log when the last handle is gone; the work itself holds none.
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What handles and work share.
pub(crate) struct Shared {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) options: LogOptions,
    pub(crate) state: Mutex<State>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) handles: Handles,
    pub(crate) writer_wakes: Condvar,
    pub(crate) preparer_wakes: Condvar,
}

impl Log {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { _owner: Arc::new(Owner(shared.clone())), shared }
    }

    /// Appends one record, its body given in parts, to the open batch. Never waits for I/O. The record is not durable
    /// yet: wait for its sequence.
    ///
    /// `Full`: too much waits to be written, the next segment is not ready yet, or there is no disk space for records of
    /// its class; nothing was appended, try later, or wait for [`room`](Self::room). `TooLarge`: it does not fit a
    /// segment. `Invalid`: the kind is the log's own. `Poisoned`: a write or sync failed. `Closed`: the log is.
    pub fn append(&self, class: Class, kind: u8, parts: &[&[u8]]) -> Result<Position> {
        self.shared.append(class, kind, parts)
    }

    /// Room for records with bodies of these lengths, to be appended together or waited for. `TooLarge`: there can
    /// never be enough.
    pub fn room(&self, class: Class, lengths: impl Iterator<Item = usize>) -> Result<Room> {
        Room::new(&self.shared, class, lengths)
    }

    /// Appends all records, none larger than `room` was asked for, or none of them. `None`: there is no room just now,
    /// or others were here before; wait for `room` and try again. `Full`: there is no disk space. Other errors as of
    /// [`append`](Self::append).
    pub fn append_all<const PARTS: usize>(
        &self,
        room: &Room,
        kind: u8,
        records: &[[&[u8]; PARTS]],
    ) -> Result<Option<Vec<Position>>> {
        self.shared.append_all(room, kind, records)
    }

    /// Waits until everything up to `sequence` is durable. `Poisoned`: a write or sync failed, and whether the record
    /// is there only a restart tells. `Closed`: the log was closed before the sequence was reached; one that was
    /// never handed out is waited for until then.
    pub fn durable(&self, sequence: u64) -> Durable {
        Durable::new(self.shared.progress.clone(), sequence)
    }

    /// As [`durable`](Self::durable), blocking the calling thread.
    pub fn wait_durable(&self, sequence: u64) -> Result<()> {
        self.shared.progress.wait(sequence)
    }

    /// The last durable sequence.
    pub fn durable_sequence(&self) -> u64 {
        self.shared.progress.durable()
    }

    /// The body of one record, durable or not yet. `NotFound`: its segment was released. `Damaged`: what is there does
    /// not verify, or is another record.
    pub fn read(&self, position: Position) -> Result<Vec<u8>> {
        self.shared.read(position)
    }

    /// The bodies of several records, each as [`read`](Self::read) gives it. Neighbours are read together, so that records
    /// asked for in the order in which they lie cost far less than one by one.
    pub fn read_many(&self, positions: &[Position]) -> Vec<Result<Vec<u8>>> {
        self.shared.read_many(positions)
    }

    /// Visits the caller's records of one finished segment in order, and returns the stretches that do not verify, which
    /// it passes. `Unavailable`: it is still being written. `NotFound`: it was released. `Io`: some of it cannot be read;
    /// what can be was visited.
    pub fn scan(
        &self,
        segment: u64,
        visit: &mut dyn FnMut(Record<'_>) -> Result<()>,
    ) -> Result<Vec<Range<u32>>> {
        self.shared.scan(segment, visit)
    }

    /// Copies a stretch of a segment to a file `damaged-<segment>-<offset>.bin`, durably: whoever then gives up what was
    /// there has kept what is left of it.
    pub fn copy_aside(&self, segment: u64, stretch: Range<u32>) -> Result<()> {
        self.shared.copy_aside(segment, stretch)
    }

    /// The numbers of the segments in use, oldest to newest. A number in between may be missing.
    pub fn segments(&self) -> RangeInclusive<u64> {
        let state = self.shared.state.lock();
        let oldest = state.live.keys().next().copied().unwrap_or(state.tail.number);
        oldest..=state.tail.number
    }

    /// Retires all whole segments before `segment`; their files are used again or removed by the work. The caller has
    /// made durable elsewhere whatever in them still matters. The segment of the last durable record stays, so that
    /// sequences are never used twice.
    pub fn release_before(&self, segment: u64) -> Result<()> {
        self.shared.release_before(segment)
    }

    /// What lies beside the log from now on. It counts in its budget and its statistics.
    pub fn tell_beside(&self, beside: Beside) {
        let mut state = self.shared.state.lock();
        // There is hope again, until the preparer has tried.
        let wakes = state.no_room && beside.bytes < state.beside.bytes;
        state.no_room &= !wakes;
        state.beside = beside;
        drop(state);
        if wakes {
            self.shared.preparer_wakes.notify_one();
        }
    }

    /// The state at this moment.
    pub fn stats(&self) -> LogStats {
        self.shared.stats()
    }

    /// Refuses further appends, has the work finish the open batch and write the closing record, and lets it end.
    /// Returns at once; the work's end says that it is done, and only then may the directory be opened again.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Does one piece of what the work would do, on the calling thread, and says whether there was one. For simulations
    /// that run no threads.
    pub fn step(&self) -> bool {
        let prepared = self.shared.prepare_step() == Step::Worked;
        let wrote = self.shared.write_step() == Step::Worked;
        prepared || wrote
    }
}

impl Shared {
    fn append(&self, class: Class, kind: u8, parts: &[&[u8]]) -> Result<Position> {
        let length = self.check(kind, parts)?;
        let checksum = format::body_checksum(parts);
        let mut state = self.state.lock();
        match self.fit(&mut state, class, &[format::record_size(length as u64)])? {
            Fit::Now => {}
            Fit::Soon(what) => return Err(Error::new(Kind::Full, "append to log", what)),
            Fit::NoSpace => return Err(Error::new(Kind::Full, "append to log", "no disk space")),
        }
        Ok(self.filled(state, |state| state.place(kind, parts, checksum)))
    }

    fn append_all<const PARTS: usize>(
        &self,
        room: &Room,
        kind: u8,
        records: &[[&[u8]; PARTS]],
    ) -> Result<Option<Vec<Position>>> {
        let (mut sizes, mut checksums) =
            (Vec::with_capacity(records.len()), Vec::with_capacity(records.len()));
        for parts in records {
            sizes.push(format::record_size(self.check(kind, parts)? as u64));
            checksums.push(format::body_checksum(parts));
        }
        let mut state = self.state.lock();
        match self.fit(&mut state, room.class, &sizes)? {
            Fit::Now if state.lines.lets(room.class, room.place) => {}
            Fit::Now => return Ok(None),
            Fit::Soon(_) => return Ok(None),
            Fit::NoSpace => return Err(Error::new(Kind::Full, "append to log", "no disk space")),
        }
        Ok(Some(self.filled(state, |state| {
            let records = records.iter().zip(checksums);
            records.map(|(parts, checksum)| state.place(kind, parts, checksum)).collect()
        })))
    }

    /// Says how long the body is, if it is one that can be appended.
    fn check(&self, kind: u8, parts: &[&[u8]]) -> Result<usize> {
        if !format::KINDS.contains(&kind) {
            return Err(Error::new(Kind::Invalid, "append to log", format!("kind {kind} is reserved")));
        }
        let length = parts.iter().fold(0_usize, |length, part| length.saturating_add(part.len()));
        if length > self.options.body_bytes_max() {
            return Err(Error::new(Kind::TooLarge, "append to log", format!("{length} bytes")));
        }
        Ok(length)
    }

    /// Whether there is room; notes when there is no space for it.
    fn fit(&self, state: &mut State, class: Class, sizes: &[u64]) -> Result<Fit> {
        state.check_poison("append to log")?;
        state.check_running()?;
        let fit = state.fit(class, sizes, &self.options);
        state.refusing |= fit == Fit::NoSpace;
        Ok(fit)
    }

    /// Places records, and wakes whoever has something to do because of them.
    fn filled<T>(&self, mut state: MutexGuard<'_, State>, place: impl FnOnce(&mut State) -> T) -> T {
        let idle = state.open.is_empty() && state.in_flight.is_none();
        let tail = state.tail.number;
        let placed = place(&mut state);
        let rolled = tail != state.tail.number;
        drop(state);
        if idle {
            self.writer_wakes.notify_one();
        }
        if rolled {
            self.preparer_wakes.notify_one();
        }
        placed
    }

    fn release_before(&self, segment: u64) -> Result<()> {
        let durable = self.progress.durable();
        let mut state = self.state.lock();
        state.check_poison("release segments")?;
        let tail = state.tail.number;
        while let Some((&number, &live)) = state.live.first_key_value() {
            if number >= segment || number >= tail || live.last >= durable {
                break;
            }
            state.live.remove(&number);
            state.live_bytes -= u64::from(live.bytes);
            state.damaged.remove(&number);
            self.handles.forget(number);
            let name = crate::segment::name(number);
            state.retired.push_back(Retired { name, number, bytes: u64::from(live.bytes) });
            // There is hope again, until the preparer has tried.
            state.no_room = false;
        }
        drop(state);
        self.preparer_wakes.notify_one();
        Ok(())
    }

    fn stats(&self) -> LogStats {
        let state = self.state.lock();
        LogStats {
            records: state.records,
            bytes: state.bytes,
            syncs: state.syncs,
            sync_ns: state.sync_ns,
            pending_bytes: state.pending_bytes() as u64,
            segments: state.live.len() as u64,
            disk_bytes: state.disk_bytes(),
            disk_bytes_max: self.options.disk_bytes_max,
            poisoned: state.poison.is_some(),
            full: state.is_full(),
            damaged: state.damaged.values().sum::<u64>() + state.beside.damaged,
        }
    }

    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Running {
            state.phase = Phase::Closing;
        }
        let next = state.lines.first();
        drop(state);
        self.wake_all();
        next.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn wake_all(&self) {
        self.writer_wakes.notify_all();
        self.preparer_wakes.notify_all();
    }
}
