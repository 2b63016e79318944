//! Opening a log, step by step: headers, replay, the end made fit, the opening record.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::ports::clock::{Run, Work};
use forebay_core::ports::files::Files;
use parking_lot::{Condvar, Mutex};

use super::walk::{Source, Walk, Walked};
use crate::batch::Batch;
use crate::durable::Progress;
use crate::format::{self, HeaderFault, OPENED, SEGMENT_HEADER_BYTES, SEQUENCE_JUMP, SegmentHeader};
use crate::log::{Log, Record, Shared};
use crate::options::LogOptions;
use crate::segment::{self, Fill, Handles, Named, Segment};
use crate::state::{Live, Phase, Retired, State};

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
}

/// Opens the log in `files`, or begins one, and shows every record to `replay`, in order. A record that was said to be
/// durable is shown; one that was not may be, if it is whole; from now on it is durable too. An error of `replay` ends
/// the opening with it.
///
/// `Damaged`: a record that had been durable does not verify; the error names it, nothing was changed. `Unsupported`:
/// a newer program wrote the log. `Full`: not even the first segment finds room. `Invalid`: an option.
pub fn open(
    files: Arc<dyn Files>,
    options: LogOptions,
    replay: &mut dyn FnMut(Record<'_>) -> Result<()>,
) -> Result<Opened> {
    options.check()?;
    let directory = Directory::read(&*files)?;
    let walked = Walk::new(&*files, &directory.sources, options.damaged, replay).run()?;
    let recovered = Recovered {
        records: walked.records,
        bytes: walked.bytes,
        segments: walked.ends.iter().filter(|(_, last)| *last > 0).count() as u64,
        torn_bytes: walked.torn_bytes,
        set_aside: walked.set_aside,
        clean: walked.clean || directory.sources.is_empty(),
    };
    let state = settle(&*files, &options, directory, &walked)?;
    let after = walked.expected.map_or(0, |expected| expected - 1);
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
    if recovered.torn_bytes > 0 || recovered.set_aside > 0 {
        tracing::warn!(
            torn_bytes = recovered.torn_bytes,
            set_aside = recovered.set_aside,
            "commit log recovered"
        );
    }
    let (writer, preparer) = (shared.clone(), shared.clone());
    let work = vec![
        Work { name: "log-writer", run: Run::Thread(Box::new(move || writer.write_until_closed())) },
        Work { name: "log-preparer", run: Run::Thread(Box::new(move || preparer.prepare_until_closed())) },
    ];
    Ok(Opened { log: Log::new(shared), work, recovered })
}

/// What is in the directory.
struct Directory {
    sources: Vec<Source>,
    spares: Vec<Retired>,
}

impl Directory {
    /// Sorts the files by what they are and reads the segments' headers. Segments whose making was cut short go.
    fn read(files: &dyn Files) -> Result<Self> {
        let mut directory = Self { sources: Vec::new(), spares: Vec::new() };
        for name in files.list()? {
            match segment::parse(&name) {
                Named::Segment(number) => directory.sources.push(source(files, number, name)?),
                Named::Spare(number) => {
                    let bytes = files.open(&name)?.len()?;
                    directory.spares.push(Retired { name, number, bytes });
                }
                Named::New => files.remove(&name)?,
                Named::Other => {}
            }
        }
        directory.sources.sort_unstable_by_key(|source| source.number);
        Ok(directory)
    }
}

/// Reads and checks a segment's header.
fn source(files: &dyn Files, number: u64, name: String) -> Result<Source> {
    let bad = |kind, what: String| Err(Error::new(kind, "open log segment", format!("{name}: {what}")));
    let file = files.open(&name)?;
    let length = file.len()?;
    let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
    if length < bytes.len() as u64 {
        return bad(Kind::Damaged, "shorter than its header".into());
    }
    file.read_at(&mut bytes, 0)?;
    match SegmentHeader::decode(&bytes) {
        Ok(header) if header.number != number => {
            bad(Kind::Damaged, format!("its header is that of segment {}", header.number))
        }
        Ok(header) if length < u64::from(header.bytes) => {
            bad(Kind::Damaged, format!("{length} bytes long instead of {}", header.bytes))
        }
        Ok(header) => Ok(Source { number, name, epoch: header.epoch, bytes: header.bytes }),
        Err(HeaderFault::Damaged) => bad(Kind::Damaged, "its header does not verify".into()),
        Err(HeaderFault::Version(version)) => bad(
            Kind::Unsupported,
            format!("format version {version}, this program reads {}", format::VERSION),
        ),
    }
}

/// Makes what was found fit to go on: nothing behind the last record can ever verify, and everything that was replayed
/// is durable.
fn settle(files: &dyn Files, options: &LogOptions, directory: Directory, walked: &Walked) -> Result<State> {
    let Directory { sources, spares } = directory;
    let mut live = BTreeMap::new();
    for (source, (end, last)) in sources.iter().zip(&walked.ends) {
        let (epoch, bytes) = (source.epoch, source.bytes);
        live.insert(source.number, Live { epoch, bytes, end: *end, last: *last });
    }
    if walked.expected.is_none() && sources.first().is_some_and(|source| source.number > 1) {
        return Err(Error::new(
            Kind::Damaged,
            "recover log",
            "segments are there and all their records are gone",
        ));
    }
    let tail_index = walked.ends.len().saturating_sub(1);
    if !walked.clean {
        confirm_last_batch(files, &sources, walked)?;
    }
    let mut retired: VecDeque<Retired> = spares.into();
    let mut prepared = VecDeque::new();
    // From the back, so that a crash in between leaves no hole.
    for source in sources.iter().skip(walked.ends.len()).rev() {
        if walked.clean && source.bytes == options.segment_bytes {
            prepared.push_front(Arc::new(reopen(files, source)?));
        } else {
            let spare = segment::spare_name(source.number);
            files.rename(&source.name, &spare)?;
            files.sync_names()?;
            retired.retain(|present| present.name != spare);
            retired.push_back(Retired { name: spare, number: source.number, bytes: u64::from(source.bytes) });
        }
    }
    let (tail, tail_offset) = match (sources.get(tail_index), walked.ends.last()) {
        (Some(source), Some((end, _))) => {
            if !walked.clean {
                erase(files, source, *end)?;
            }
            (reopen(files, source)?, *end)
        }
        _ => (Segment::create(files, 1, options.segment_bytes)?, SEGMENT_HEADER_BYTES),
    };
    live.entry(tail.number).or_insert(Live {
        epoch: tail.epoch,
        bytes: tail.bytes,
        end: SEGMENT_HEADER_BYTES,
        last: 0,
    });
    let jump = if walked.clean || walked.expected.is_none() { 0 } else { SEQUENCE_JUMP };
    Ok(State {
        tail: Arc::new(tail),
        tail_offset,
        next_sequence: walked.expected.unwrap_or(1) + jump,
        open: Batch::default(),
        in_flight: None,
        spare_buffer: Vec::new(),
        live_bytes: live.values().map(|live| u64::from(live.bytes)).sum(),
        live,
        prepared,
        retired,
        preparing: false,
        no_room: false,
        refusing: false,
        phase: Phase::Running,
        said_closed: false,
        poison: None,
        records: 0,
        bytes: 0,
        syncs: 0,
        sync_ns: 0,
    })
}

/// The last batch may have been written and never synced, or its sync may have failed and left pages behind that are
/// marked clean. It was replayed, so it must last: its bytes are written again and synced.
fn confirm_last_batch(files: &dyn Files, sources: &[Source], walked: &Walked) -> Result<()> {
    for stretch in &walked.last_batch {
        let Some(source) = sources.get(stretch.index) else { continue };
        let file = files.open(&source.name)?;
        let mut bytes = vec![0; (stretch.to - stretch.from) as usize];
        file.read_at(&mut bytes, u64::from(stretch.from))?;
        file.write_at(&bytes, u64::from(stretch.from))?;
        file.sync()?;
    }
    Ok(())
}

/// Overwrites with zeros what lies behind the last record, so that no part of a torn batch is ever taken for a record.
fn erase(files: &dyn Files, source: &Source, from: u32) -> Result<()> {
    let file = files.open(&source.name)?;
    let mut bytes = vec![0; (source.bytes - from) as usize];
    file.read_at(&mut bytes, u64::from(from))?;
    let dirty = |byte: &u8| *byte != 0;
    if let (Some(first), Some(last)) = (bytes.iter().position(dirty), bytes.iter().rposition(dirty)) {
        let zeros = vec![0; last + 1 - first];
        file.write_at(&zeros, u64::from(from) + first as u64)?;
    }
    file.sync()
}

fn reopen(files: &dyn Files, source: &Source) -> Result<Segment> {
    let file = files.open(&source.name)?.into();
    Ok(Segment {
        number: source.number,
        epoch: source.epoch,
        bytes: source.bytes,
        file,
        fill: Mutex::new(Fill::Over),
    })
}

/// Has one segment in reserve and the opening record durable before anything else is taken.
fn begin_life(shared: &Shared, after: u64) -> Result<()> {
    while shared.state.lock().prepared.is_empty() {
        let worked = shared.prepare_step() == crate::writer::Step::Worked;
        let state = shared.state.lock();
        state.check_poison("open log")?;
        if !worked {
            break;
        }
    }
    let body = after.to_le_bytes();
    let parts: [&[u8]; 1] = [&body];
    shared.state.lock().place(OPENED, &parts, format::body_checksum(&parts), true, usize::MAX)?;
    shared.write_step();
    shared.state.lock().check_poison("open log")
}
