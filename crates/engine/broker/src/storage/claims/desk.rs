//! Where callers wait for claimed files. Writing and reading a hundred megabytes takes too long for the thread of whoever
//! asks: one thread writes and another reads, one file at a time each, so that however many ask at once the disk is
//! asked for one payload after the other, and none is in memory before its turn.

use std::collections::VecDeque;
use std::sync::Arc;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::payload::Payload;
use forebay_core::ports::clock::{Run, Work};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot::{self, Receiver, Sender};

use super::file;
use crate::engine::Engine;
use crate::records::message::Claim;
use crate::storage::journal::Journal;

/// The two lines.
#[derive(Default)]
pub(crate) struct Desk {
    lines: Mutex<Lines>,
    writes: Condvar,
    reads: Condvar,
}

#[derive(Default)]
struct Lines {
    writes: VecDeque<Write>,
    reads: VecDeque<Read>,
    closed: bool,
}

/// Payloads of one batch, whose bytes are reserved.
struct Write {
    payloads: Vec<Payload>,
    answer: Sender<Result<Vec<Claim>>>,
}

struct Read {
    claim: Claim,
    answer: Sender<Result<Payload>>,
}

/// Files that were written for messages that no record has brought yet. Those that none does are to go.
pub(crate) struct Fresh<'a> {
    journal: &'a Journal,
    /// With the place of each message in its batch.
    claims: Vec<(usize, Claim)>,
}

impl Fresh<'_> {
    pub(crate) fn get(&self, index: usize) -> Option<Claim> {
        self.claims.iter().find(|(at, _)| *at == index).map(|(_, claim)| *claim)
    }

    /// As [`get`](Self::get), for several records that each bring it: the file stays until this is dropped, whatever becomes
    /// meanwhile of those who have it.
    pub(crate) fn hold(&self, index: usize) -> Option<Claim> {
        let claim = self.get(index);
        claim.iter().for_each(|claim| self.journal.claims.hold(claim.file));
        claim
    }

    /// A record has brought this one.
    pub(crate) fn take(&mut self, index: usize) -> Option<Claim> {
        let place = self.claims.iter().position(|(at, _)| *at == index)?;
        Some(self.claims.swap_remove(place).1)
    }
}

impl Drop for Fresh<'_> {
    fn drop(&mut self) {
        self.journal.abandon(self.claims.iter().map(|(_, claim)| *claim));
    }
}

/// The wait for files to be written. Given up, it leaves none: either it finds the answer, or the writer finds nobody.
struct Written<'a> {
    journal: &'a Journal,
    answered: Receiver<Result<Vec<Claim>>>,
}

impl Drop for Written<'_> {
    fn drop(&mut self) {
        self.answered.close();
        if let Ok(Ok(claims)) = self.answered.try_recv() {
            self.journal.abandon(claims.into_iter());
        }
    }
}

/// The threads that serve the two lines.
pub(crate) fn work(engine: &Arc<Engine>) -> [Work; 2] {
    let (writer, reader) = (engine.clone(), engine.clone());
    let write = move || while writer.journal.desk.wait_for_write() && writer.journal.write_step() {};
    let read = move || while reader.journal.desk.wait_for_read() && reader.journal.read_step() {};
    [
        Work { name: "broker payload writer", run: Run::Thread(Box::new(write)) },
        Work { name: "broker payload reader", run: Run::Thread(Box::new(read)) },
    ]
}

impl Desk {
    /// Ends all waits with `Closed`, and the work.
    pub(crate) fn close(&self) {
        let closed = Lines { closed: true, ..Lines::default() };
        let left = std::mem::replace(&mut *self.lines.lock(), closed);
        // Not under the lock: it wakes those who wait.
        drop(left);
        self.writes.notify_all();
        self.reads.notify_all();
    }

    fn wait_for_write(&self) -> bool {
        let mut lines = self.lines.lock();
        self.writes.wait_while(&mut lines, |lines| lines.writes.is_empty() && !lines.closed);
        !lines.closed
    }

    fn wait_for_read(&self) -> bool {
        let mut lines = self.lines.lock();
        self.reads.wait_while(&mut lines, |lines| lines.reads.is_empty() && !lines.closed);
        !lines.closed
    }

    fn stand<T>(
        &self,
        operation: &'static str,
        wakes: &Condvar,
        line: impl FnOnce(&mut Lines) -> &mut VecDeque<T>,
        waiter: T,
    ) -> Result<()> {
        let mut lines = self.lines.lock();
        if lines.closed {
            return Err(closed(operation));
        }
        let line = line(&mut lines);
        if line.len() >= limits::CLAIM_WAITERS_MAX {
            return Err(Error::new(Kind::Full, operation, "too many wait for theirs"));
        }
        line.push_back(waiter);
        wakes.notify_one();
        Ok(())
    }
}

fn closed(operation: &'static str) -> Error {
    Error::new(Kind::Closed, operation, "the broker is closed")
}

impl Journal {
    /// Writes these payloads, durably, each into a file of its own. Every error says that none will be there, as does
    /// dropping the future. `Full`: there is no space, for them or for the records that bring them, which need so many
    /// segments. `TooLarge`: publishes never get that much.
    pub(crate) async fn store(&self, payloads: Vec<(usize, Payload)>, segments: usize) -> Result<Fresh<'_>> {
        if payloads.is_empty() {
            return Ok(Fresh { journal: self, claims: Vec::new() });
        }
        let (places, payloads): (Vec<_>, Vec<_>) = payloads.into_iter().unzip();
        let bytes = bytes_of(&payloads);
        self.reserve(bytes, segments as u64)?;
        let operation = "write payload file";
        let (answer_to, answered) = oneshot::channel();
        let write = Write { payloads, answer: answer_to };
        self.desk
            .stand(operation, &self.desk.writes, |lines| &mut lines.writes, write)
            .inspect_err(|_| self.claims.unreserve(bytes))?;
        let mut written = Written { journal: self, answered };
        let claims = (&mut written.answered).await.unwrap_or_else(|_| Err(closed(operation)))?;
        Ok(Fresh { journal: self, claims: places.into_iter().zip(claims).collect() })
    }

    /// Reads a claimed payload. `NotFound`: no message has it any more. `Damaged`: its file is not what was written; an
    /// alarm tells so until the message is gone.
    pub(crate) async fn fetch(&self, claim: Claim) -> Result<Payload> {
        let operation = "read payload file";
        let (answer_to, answered) = oneshot::channel();
        let read = Read { claim, answer: answer_to };
        self.desk.stand(operation, &self.desk.reads, |lines| &mut lines.reads, read)?;
        answered.await.unwrap_or_else(|_| Err(closed(operation)))
    }

    /// Writes for the first in line; false if there was none.
    pub(crate) fn write_step(&self) -> bool {
        let Some(Write { payloads, answer }) = self.desk.lines.lock().writes.pop_front() else {
            return false;
        };
        if answer.is_closed() {
            self.claims.unreserve(bytes_of(&payloads));
            return true;
        }
        // Whoever asked may have given up meanwhile.
        if let Err(Ok(claims)) = answer.send(self.write_files(&payloads)) {
            self.abandon(claims.into_iter());
        }
        true
    }

    /// Reads for the first in line; false if there was none.
    pub(crate) fn read_step(&self) -> bool {
        let Some(Read { claim, answer }) = self.desk.lines.lock().reads.pop_front() else { return false };
        if !answer.is_closed() {
            drop(answer.send(self.read_file(claim)));
        }
        true
    }

    fn write_files(&self, payloads: &[Payload]) -> Result<Vec<Claim>> {
        let files = &*self.claims.files;
        let mut claims = Vec::with_capacity(payloads.len());
        let mut write = |payload: &Payload| {
            let claim = file::claim(self.claims.new_file(), payload)?;
            claims.push(claim);
            file::write(files, claim.file, payload)
        };
        let written = payloads.iter().try_for_each(&mut write).and_then(|()| files.sync_names());
        match written {
            Ok(()) => Ok(claims),
            Err(error) => {
                let begun: u64 = claims.iter().map(|claim| u64::from(claim.length)).sum();
                self.claims.unreserve(bytes_of(payloads).saturating_sub(begun));
                self.abandon(claims.into_iter());
                if error.kind() == Kind::Full {
                    self.disk_ended();
                }
                Err(error)
            }
        }
    }

    fn read_file(&self, claim: Claim) -> Result<Payload> {
        file::read(&*self.claims.files, claim).map_err(|error| {
            if !self.claims.is_claimed(claim.file) {
                return Error::new(Kind::NotFound, "read payload file", "its message is gone").because(error);
            }
            if error.kind() == Kind::Damaged {
                self.claims.note_damaged(claim.file);
            }
            error
        })
    }
}

fn bytes_of(payloads: &[Payload]) -> u64 {
    payloads.iter().map(|payload| payload.len() as u64).sum()
}
