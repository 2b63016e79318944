//! Segments ahead of need, off the commit path: new ones, recycled ones, and zeros where space is only reserved.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;

use crate::format::SEGMENT_HEADER_BYTES;
use crate::log::Shared;
use crate::segment::{self, Fill, Segment};
use crate::state::{Phase, Retired, State};
use crate::writer::Step;

/// Zeros are written in stretches of this size, so that a writer never waits long for one.
const FILL_BYTES: usize = 256 * 1024;

/// The next thing to do.
enum Task {
    /// Make a new segment of this number.
    Create(u64),
    /// Make one of a retired file.
    Recycle(Retired, u64),
    /// Give a retired file back to the file system.
    Remove(Retired),
    /// Fill with zeros.
    Fill(Arc<Segment>),
}

impl Shared {
    /// Does the most urgent thing there is to prepare.
    pub(crate) fn prepare_step(&self) -> Step {
        let mut task = {
            let mut state = self.state.lock();
            if state.poison.is_some() || state.phase != Phase::Running {
                return Step::Ended;
            }
            if state.preparing {
                return Step::Idle;
            }
            let task = self.choose(&mut state);
            state.preparing = task.is_some();
            let next = if state.no_room { state.lines.first() } else { Vec::new() };
            drop(state);
            // They learn that there is nothing to wait for.
            next.into_iter().for_each(Waker::wake);
            let Some(task) = task else { return Step::Idle };
            task
        };
        let done = self.perform(&mut task);
        let mut state = self.state.lock();
        state.preparing = false;
        match done {
            Ok(segment) => {
                state.no_room &= segment.is_none();
                state.not_prepared.take_if(|_| segment.is_some());
                state.prepared.extend(segment.map(Arc::new));
                state.refusing &= !state.takes_new();
                let next = state.lines.first();
                drop(state);
                next.into_iter().for_each(Waker::wake);
            }
            Err(error) => {
                state.preparing = true;
                drop(state);
                return self.not_prepared(task, &error);
            }
        }
        Step::Worked
    }

    /// Whatever went wrong, no record was in it: it counts as want of room, and is tried again. Only a segment that took
    /// records before its zeros failed ends the log.
    fn not_prepared(&self, task: Task, error: &Error) -> Step {
        let mut state = self.state.lock();
        let mut dropped = VecDeque::new();
        if let Task::Fill(segment) = &task {
            match state.prepared.iter().position(|prepared| prepared.number == segment.number) {
                // A file whose sync has failed may claim anything of the next one, so it must not be used; nor must
                // those behind it, or their numbers would leave a hole.
                Some(at) => dropped = state.prepared.split_off(at),
                None if error.kind() == Kind::Full => segment.take(),
                None => {
                    state.preparing = false;
                    drop(state);
                    self.poison(&error.to_string());
                    return Step::Worked;
                }
            }
        }
        if !state.no_room {
            tracing::warn!(%error, "commit log could not make the next segment ready, and will try again");
        }
        state.no_room = true;
        state.not_prepared = Some((error.kind(), error.to_string()));
        let next = state.lines.first();
        drop(state);
        next.into_iter().for_each(Waker::wake);
        // One at a time, the last one first, so that a crash in between leaves no hole.
        for segment in dropped.iter().rev() {
            let name = segment::name(segment.number);
            if let Err(error) = self.files.remove(&name).and_then(|()| self.files.sync_names()) {
                self.state.lock().preparing = false;
                self.poison(&error.to_string());
                return Step::Worked;
            }
        }
        let mut state = self.state.lock();
        state.preparing = false;
        match task {
            // What is not there needs neither.
            Task::Recycle(retired, _) | Task::Remove(retired) if error.kind() != Kind::NotFound => {
                state.retired.push_front(retired);
            }
            _ => {}
        }
        Step::Idle
    }

    /// Runs until the log is closed or poisoned.
    pub(crate) fn prepare_until_closed(&self) {
        loop {
            match self.prepare_step() {
                Step::Worked => {}
                Step::Ended => return,
                Step::Idle => {
                    let mut state = self.state.lock();
                    if state.poison.is_some() || state.phase != Phase::Running {
                        return;
                    }
                    match self.wanted(&state) {
                        // The disk was full. Nobody says when it no longer is.
                        Some(_) if state.no_room => {
                            self.preparer_wakes.wait_for(&mut state, limits::log::FULL_RETRY);
                        }
                        Some(_) => {}
                        None => self.preparer_wakes.wait(&mut state),
                    }
                }
            }
        }
    }

    /// Takes the next task out of the state.
    fn choose(&self, state: &mut State) -> Option<Task> {
        // The budget counts as a disk: at its end there is no room.
        state.no_room |= self.needs_more(state) && state.retired.is_empty() && !self.has_budget(state);
        let wanted = self.wanted(state)?;
        if let Task::Recycle(..) | Task::Remove(_) = wanted {
            state.retired.pop_front();
        }
        Some(wanted)
    }

    /// What should be done next, if something should.
    fn wanted(&self, state: &State) -> Option<Task> {
        let bytes = u64::from(self.options.segment_bytes);
        let number = state.next_number();
        if let Some(retired) = state.retired.front() {
            // A budget that was lowered since is kept by giving files back.
            let reuse = (self.needs_more(state) || state.prepared.len() < limits::log::SEGMENTS_SPARE_MAX)
                && retired.bytes == bytes
                && state.disk_bytes() <= self.options.disk_bytes_max;
            return Some(if reuse {
                Task::Recycle(retired.clone(), number)
            } else {
                Task::Remove(retired.clone())
            });
        }
        if self.needs_more(state) && self.has_budget(state) {
            return Some(Task::Create(number));
        }
        let unfilled = |segment: &&Arc<Segment>| matches!(*segment.fill.lock(), Fill::Upto(_));
        state.prepared.iter().find(unfilled).cloned().map(Task::Fill)
    }

    fn needs_more(&self, state: &State) -> bool {
        state.prepared.len() < limits::log::SEGMENTS_AHEAD.max(state.lines.segments_wanted())
    }

    /// Whether one more segment fits the disk budget.
    fn has_budget(&self, state: &State) -> bool {
        state.disk_bytes() + u64::from(self.options.segment_bytes) <= self.options.disk_bytes_max
    }

    fn perform(&self, task: &mut Task) -> Result<Option<Segment>> {
        let bytes = self.options.segment_bytes;
        match task {
            Task::Create(number) => Segment::create(&*self.files, *number, bytes).map(Some),
            Task::Recycle(retired, number) => {
                self.set_free(retired)?;
                Segment::recycle(&*self.files, &retired.name, *number, bytes).map(Some)
            }
            Task::Remove(retired) => {
                self.files.remove(&retired.name)?;
                self.files.sync_names()?;
                Ok(None)
            }
            Task::Fill(segment) => fill(segment).map(|()| None),
        }
    }

    /// Takes a segment's name away from a retired file, durably: from here on it may be overwritten. One at a time, the
    /// oldest first, so that a crash never leaves a hole among the segments.
    fn set_free(&self, retired: &mut Retired) -> Result<()> {
        let spare = segment::spare_name(retired.number);
        if retired.name != spare {
            self.files.rename(&retired.name, &spare)?;
            retired.name = spare;
        }
        // Also when it has the name already: the attempt that gave it may have failed here.
        self.files.sync_names()
    }
}

/// Writes the next stretch of zeros; after the last one, syncs.
fn fill(segment: &Segment) -> Result<()> {
    let mut fill = segment.fill.lock();
    let Fill::Upto(from) = *fill else { return Ok(()) };
    let from = from.max(SEGMENT_HEADER_BYTES);
    let count = FILL_BYTES.min((segment.bytes - from) as usize);
    segment.file.write_at(&vec![0; count], u64::from(from))?;
    let upto = from + count as u32;
    if upto < segment.bytes {
        *fill = Fill::Upto(upto);
        return Ok(());
    }
    *fill = Fill::Over;
    drop(fill);
    segment.file.sync()
}

#[cfg(test)]
mod tests {
    use forebay_contract::files::{Operation, Saboteur};

    use super::*;

    #[test]
    fn zeros_are_written_to_the_end_and_synced() {
        let files = Saboteur::new();
        let segment = Segment::create(&files, 1, 1024 * 1024).unwrap();
        let (writes, syncs) = (files.count(Operation::Write), files.count(Operation::Sync));
        while matches!(*segment.fill.lock(), Fill::Upto(_)) {
            assert_eq!(files.count(Operation::Sync), syncs);
            fill(&segment).unwrap();
        }
        assert_eq!(files.count(Operation::Write) - writes, 4);
        assert_eq!(files.count(Operation::Sync) - syncs, 1);
        fill(&segment).unwrap();
        assert_eq!(files.count(Operation::Write) - writes, 4);
    }

    #[test]
    fn no_zeros_are_written_once_records_are() {
        let files = Saboteur::new();
        let segment = Segment::create(&files, 1, 1024 * 1024).unwrap();
        fill(&segment).unwrap();
        segment.take();
        let offset = FILL_BYTES as u64 + 64;
        segment.file.write_at(b"record", offset).unwrap();
        fill(&segment).unwrap();
        let mut bytes = [0; 6];
        segment.file.read_at(&mut bytes, offset).unwrap();
        assert_eq!(&bytes, b"record");
    }
}
