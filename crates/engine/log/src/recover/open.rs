//! Opening a log, step by step: headers, replay, the end made fit, the opening record.

use std::sync::Arc;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::ports::clock::{Run, Work};
use forebay_core::ports::files::Files;
use parking_lot::{Condvar, Mutex};

use super::directory::Directory;
use super::settle::settle;
use super::walk::Walk;
use crate::append::room::{Class, Fit};
use crate::durable::Progress;
use crate::format::{self, OPENED};
use crate::log::{Log, Record, Shared};
use crate::options::LogOptions;
use crate::segment::Handles;
use crate::writer::Step;

/// An open log, the work that must be run for it, and what was found.
pub struct Opened {
    /// The handle.
    pub log: Log,
    /// Two threads: one writes and syncs, one prepares segments. Without them nothing becomes durable.
    pub work: Vec<Work>,
    /// What was found.
    pub recovered: Recovered,
}

/// What opening found on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Records replayed.
    pub records: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Segments with records.
    pub segments: u64,
    /// Bytes of unfinished records that were cut off the end. Nobody had been told that they were safe.
    pub torn_bytes: u64,
    /// Damaged places copied away.
    pub set_aside: u64,
    /// The log had been closed in good order, or is new.
    pub clean: bool,
    /// The last sequence that was found when the log had not been closed in good order, now or, where it has been each time
    /// since, before; 0 if it always was.
    pub in_doubt: u64,
}

/// Opens the log in `files`, or begins one, and shows every record to `replay`, in order. A record that was said to be
/// durable is shown; one that was not may be, if it is whole; from now on it is durable too. An error of `replay` ends
/// the opening with it.
///
/// `Damaged`: a record that had been durable does not verify; the error names it, nothing was changed. `Unsupported`:
/// a newer program wrote the log. `Full`: there is no room even to begin. `Invalid`: an option. `Io`: the disk.
pub fn open(
    files: Arc<dyn Files>,
    options: LogOptions,
    replay: &mut dyn FnMut(Record<'_>) -> Result<()>,
) -> Result<Opened> {
    options.check()?;
    let mut directory = Directory::read(&*files, options.damaged)?;
    let walked = Walk::new(&*files, &mut directory.sources, options.damaged, replay).run()?;
    let after = walked.expected.map_or(0, |expected| expected - 1);
    let clean = walked.clean || directory.sources.is_empty();
    let recovered = Recovered {
        records: walked.records,
        bytes: walked.bytes,
        segments: walked.ends.iter().filter(|(_, last)| *last > 0).count() as u64,
        torn_bytes: walked.torn_bytes,
        set_aside: walked.set_aside + directory.set_aside,
        clean,
        in_doubt: if clean { walked.in_doubt } else { after },
    };
    let mut state = settle(&*files, options.segment_bytes, directory, &walked)?;
    state.in_doubt = recovered.in_doubt;
    let shared = Arc::new(Shared {
        handles: Handles::new(files.clone()),
        files,
        options,
        state: Mutex::new(state),
        progress: Arc::new(Progress::default()),
        writer_wakes: Condvar::new(),
        preparer_wakes: Condvar::new(),
    });
    begin_life(&shared, after)?;
    if recovered.torn_bytes > 0 {
        tracing::warn!(bytes = recovered.torn_bytes, "torn end of the commit log cut off");
    }
    let (writer, preparer) = (shared.clone(), shared.clone());
    let work = vec![
        Work { name: "log-writer", run: Run::Thread(Box::new(move || writer.write_until_closed())) },
        Work { name: "log-preparer", run: Run::Thread(Box::new(move || preparer.prepare_until_closed())) },
    ];
    Ok(Opened { log: Log::new(shared), work, recovered })
}

/// Has enough segments in reserve that appends are taken at once, if there is space for that, and the opening record
/// durable before anything else is taken. `after` is the last sequence of the life before.
fn begin_life(shared: &Shared, after: u64) -> Result<()> {
    while !shared.state.lock().takes_new() && shared.prepare_step() == Step::Worked {
        check_begun(shared)?;
    }
    let body = after.to_le_bytes();
    let parts: [&[u8]; 1] = [&body];
    {
        let mut state = shared.state.lock();
        if state.fit(Class::Free, &[format::record_size(body.len() as u64)], &shared.options) != Fit::Now {
            let refused = |kind| Error::new(kind, "open log", "no room for its first record");
            return Err(match state.not_prepared.take() {
                Some((kind, why)) => refused(kind).because(why),
                None => refused(Kind::Full),
            });
        }
        state.place(OPENED, &parts, format::body_checksum(&parts));
    }
    shared.write_step();
    check_begun(shared)
}

/// A write or sync that fails while the log is opened is the opening's own failure.
fn check_begun(shared: &Shared) -> Result<()> {
    match &shared.state.lock().poison {
        Some(what) => Err(Error::new(Kind::Io, "open log", what.clone())),
        None => Ok(()),
    }
}
