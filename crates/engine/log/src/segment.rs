//! Segment files: their names, how one comes into being, and the handles of finished ones.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use forebay_core::error::Result;
use forebay_core::limits;
use forebay_core::ports::files::{File, Files};
use parking_lot::Mutex;

use crate::format::{SEGMENT_HEADER_BYTES, SegmentHeader};

/// The name of a segment in use.
pub(crate) fn name(number: u64) -> String {
    format!("{number:020}.log")
}

/// The name of a retired segment that waits to be used again.
pub(crate) fn spare_name(number: u64) -> String {
    format!("spare-{number:020}.log")
}

/// The name under which a new segment is made.
pub(crate) fn new_name(number: u64) -> String {
    format!("new-{number:020}.log")
}

/// What a file in the directory is to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// A segment in use, by its number.
    Segment(u64),
    /// A retired one, by the number it had.
    Spare(u64),
    /// One whose making was cut short.
    New,
    /// Not the log's business.
    Other,
}

/// Reads a file's name.
pub(crate) fn parse(name: &str) -> Named {
    let number = |text: &str| {
        (text.len() == 20 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
    };
    let Some(stem) = name.strip_suffix(".log") else { return Named::Other };
    if let Some(number) = number(stem) {
        Named::Segment(number)
    } else if let Some(number) = stem.strip_prefix("spare-").and_then(number) {
        Named::Spare(number)
    } else if stem.strip_prefix("new-").and_then(number).is_some() {
        Named::New
    } else {
        Named::Other
    }
}

/// A segment that is written to, or ready to be.
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) epoch: u64,
    pub(crate) bytes: u32,
    pub(crate) file: Arc<dyn File>,
    /// How far the file has been filled with zeros, and whether it still may be.
    pub(crate) fill: Mutex<Fill>,
}

/// The state of writing zeros ahead of the records, so that a sync need not convert reserved space.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fill {
    /// Zeros or old records are in place up to here.
    Upto(u32),
    /// Records are being written, or everything is filled: hands off.
    Over,
}

impl Segment {
    /// A new segment: reserved on disk, with its header and name durable.
    pub(crate) fn create(files: &dyn Files, number: u64, bytes: u32) -> Result<Self> {
        let making = new_name(number);
        let file = files.create(&making, u64::from(bytes))?;
        Self::finish(files, &making, file, number, bytes, Fill::Upto(SEGMENT_HEADER_BYTES))
            .inspect_err(|_| [making.clone(), name(number)].iter().for_each(|made| drop(files.remove(made))))
    }

    /// A segment from the file of a retired one. A spare keeps its old header until this one replaces it, which is why
    /// it must not bear a segment's name meanwhile.
    pub(crate) fn recycle(files: &dyn Files, spare: &str, number: u64, bytes: u32) -> Result<Self> {
        let file = files.open(spare)?;
        // If its new name is not durable it is a spare again, to be found by the next attempt.
        Self::finish(files, spare, file, number, bytes, Fill::Over)
            .inspect_err(|_| drop(files.rename(&name(number), spare)))
    }

    fn finish(
        files: &dyn Files,
        made: &str,
        file: Box<dyn File>,
        number: u64,
        bytes: u32,
        fill: Fill,
    ) -> Result<Self> {
        let epoch = epoch(number);
        file.write_at(&SegmentHeader { number, epoch, bytes }.encode(), 0)?;
        file.sync()?;
        files.rename(made, &name(number))?;
        files.sync_names()?;
        Ok(Self { number, epoch, bytes, file: file.into(), fill: Mutex::new(fill) })
    }

    /// Records are about to be written: no zeros after this.
    pub(crate) fn take(&self) {
        *self.fill.lock() = Fill::Over;
    }
}

/// A number that nobody can guess and no segment had before. The standard library's hasher keys are its source.
fn epoch(number: u64) -> u64 {
    RandomState::new().hash_one(number)
}

/// Open files of finished segments, the most recently used first.
pub(crate) struct Handles {
    files: Arc<dyn Files>,
    open: Mutex<VecDeque<(u64, Arc<dyn File>)>>,
}

impl Handles {
    pub(crate) fn new(files: Arc<dyn Files>) -> Self {
        Self { files, open: Mutex::new(VecDeque::new()) }
    }

    /// The segment's file, opened if it is not.
    pub(crate) fn get(&self, number: u64) -> Result<Arc<dyn File>> {
        let mut open = self.open.lock();
        if let Some(at) = open.iter().position(|(present, _)| *present == number)
            && let Some(entry) = open.remove(at)
        {
            let file = entry.1.clone();
            open.push_front(entry);
            return Ok(file);
        }
        drop(open);
        let file: Arc<dyn File> = self.files.open(&name(number))?.into();
        self.put(number, file.clone());
        Ok(file)
    }

    /// Keeps a file that is open already.
    pub(crate) fn put(&self, number: u64, file: Arc<dyn File>) {
        let mut open = self.open.lock();
        if open.iter().all(|(present, _)| *present != number) {
            open.push_front((number, file));
            open.truncate(limits::log::SEGMENT_HANDLES_MAX);
        }
    }

    /// Lets go of a retired segment.
    pub(crate) fn forget(&self, number: u64) {
        self.open.lock().retain(|(present, _)| *present != number);
    }
}

#[cfg(test)]
mod tests {
    use forebay_contract::files::Saboteur;

    use super::*;

    #[test]
    fn open_files_of_finished_segments_have_a_bound() {
        let files = Saboteur::new();
        let count = limits::log::SEGMENT_HANDLES_MAX as u64 + 10;
        for number in 1..=count {
            Segment::create(&files, number, 512).unwrap();
        }
        let handles = Handles::new(Arc::new(files));
        for _ in 0..2 {
            (1..=count).for_each(|number| drop(handles.get(number).unwrap()));
            assert_eq!(handles.open.lock().len(), limits::log::SEGMENT_HANDLES_MAX);
        }
        handles.forget(count);
        assert_eq!(handles.open.lock().len(), limits::log::SEGMENT_HANDLES_MAX - 1);
    }

    #[test]
    fn no_two_segments_share_an_epoch() {
        let files = Saboteur::new();
        let one = Segment::create(&files, 1, 512).unwrap();
        files.rename(&name(1), &spare_name(1)).unwrap();
        let again = Segment::recycle(&files, &spare_name(1), 1, 512).unwrap();
        assert_ne!(one.epoch, again.epoch);
    }

    #[test]
    fn names_tell_what_a_file_is() {
        assert_eq!(parse(&name(7)), Named::Segment(7));
        assert_eq!(parse(&spare_name(7)), Named::Spare(7));
        assert_eq!(parse(&new_name(7)), Named::New);
        for other in
            ["lock", "7.log", "0000000000000000000x.log", "99999999999999999999.log", "damaged-1-64.bin"]
        {
            assert_eq!(parse(other), Named::Other, "{other}");
        }
    }
}
