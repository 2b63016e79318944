//! The one place that writes records and syncs them: takes the open batch, makes it durable, says so, again.

use std::sync::Arc;
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use forebay_core::error::Result;
use forebay_core::limits;

use crate::append::batch::Batch;
use crate::append::room::{Class, Fit};
use crate::durable::End;
use crate::format::{self, CLOSED};
use crate::log::Shared;
use crate::state::{Gather, Phase, State};

/// The share, one in so many, of a sync's time that the next batch is held open for those who come back.
const GATHER_SHARE: u64 = 4;

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something; there may be more.
    Worked,
    /// Nothing, because there was nothing to do.
    Idle,
    /// Nothing, and there never will be.
    Ended,
}

impl Shared {
    /// Makes the open batch durable. A batch is written only when the one before it is durable: that is what every
    /// record's batch count promises to recovery.
    pub(crate) fn write_step(&self) -> Step {
        let batch = {
            let mut state = self.state.lock();
            if state.poison.is_some() || state.phase == Phase::Closed {
                return Step::Ended;
            }
            if state.in_flight.is_some() {
                return Step::Idle;
            }
            if state.open.is_empty() && !self.end_life(&mut state) {
                return if state.phase == Phase::Closed { Step::Ended } else { Step::Idle };
            }
            let batch = Arc::new(std::mem::take(&mut state.open));
            state.in_flight = Some(batch.clone());
            batch
        };
        match self.write(&batch) {
            Ok(sync_ns) => self.written(batch, sync_ns),
            Err(error) => self.poison(&error.to_string()),
        }
        Step::Worked
    }

    /// Runs until the log is closed or poisoned.
    pub(crate) fn write_until_closed(&self) {
        loop {
            self.gather();
            match self.write_step() {
                Step::Worked => {}
                Step::Ended => return,
                Step::Idle => {
                    let mut state = self.state.lock();
                    let nothing = |state: &State| {
                        state.poison.is_none()
                            && (state.in_flight.is_some()
                                || (state.open.is_empty() && state.phase == Phase::Running))
                    };
                    while nothing(&state) {
                        self.writer_wakes.wait(&mut state);
                    }
                }
            }
        }
    }

    /// Holds the open batch for a moment for those whose records have just become durable, and who often come back with
    /// the next ones at once. Otherwise callers that wait for each of their records fall apart into two halves that take
    /// turns, and every sync serves only one of them. Who comes back alone is not held up.
    fn gather(&self) {
        while self.state.lock().expects_more(Instant::now()) {
            thread::yield_now();
        }
    }

    /// With the last batch durable and the log closing: puts the closing record into a batch of its own, which proves
    /// all before it. False if there is nothing to write.
    fn end_life(&self, state: &mut State) -> bool {
        if state.phase != Phase::Closing {
            return false;
        }
        // Without room for it the log ends all the same; the next opening then treats the end as unclean.
        let body = state.in_doubt.to_le_bytes();
        let size = format::record_size(body.len() as u64);
        let more = !state.said_closed && state.fit(Class::Free, &[size], &self.options) == Fit::Now;
        if more {
            let parts: [&[u8]; 1] = [&body];
            state.place(CLOSED, &parts, format::body_checksum(&parts));
        }
        state.said_closed = true;
        if !more {
            state.phase = Phase::Closed;
            self.progress.finish(End::Closed);
            self.wake_all();
        }
        more
    }

    /// Writes and syncs, and returns how long the syncs took.
    fn write(&self, batch: &Batch) -> Result<u64> {
        for piece in &batch.pieces {
            piece.segment.take();
            piece.segment.file.write_at(&piece.bytes, u64::from(piece.offset))?;
        }
        let began = Instant::now();
        for piece in &batch.pieces {
            piece.segment.file.sync()?;
        }
        Ok(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn written(&self, batch: Arc<Batch>, sync_ns: u64) {
        let last = batch.last;
        let mut state = self.state.lock();
        state.in_flight = None;
        state.syncs += batch.pieces.len() as u64;
        state.sync_ns += sync_ns;
        let moment = Duration::from_nanos(sync_ns / GATHER_SHARE).min(limits::log::GATHER_MAX);
        state.gather = Gather { records: batch.records + state.open.records, until: Instant::now() + moment };
        // The reader of a batch holds the lock, so this is its only owner.
        if let Some(mut buffer) =
            Arc::into_inner(batch).and_then(|mut batch| batch.pieces.pop()).map(|piece| piece.bytes)
            && buffer.capacity() <= limits::log::BATCH_BUFFER_BYTES_KEPT
        {
            buffer.clear();
            state.spare_buffer = buffer;
        }
        let next = state.lines.first();
        drop(state);
        self.progress.advance(last);
        self.writer_wakes.notify_one();
        next.into_iter().for_each(Waker::wake);
    }

    /// Ends the log after a failed write or sync. A second sync would prove nothing: only a restart reads what is there.
    pub(crate) fn poison(&self, what: &str) {
        tracing::error!(what, "commit log stopped: a write or sync failed");
        let mut state = self.state.lock();
        state.poison.get_or_insert_with(|| what.into());
        let next = state.lines.first();
        drop(state);
        self.progress.finish(End::Poisoned(what.into()));
        self.wake_all();
        next.into_iter().for_each(Waker::wake);
    }
}
