//! Which files there are, and what the segments' headers say.

use forebay_core::error::{Error, Kind, Result};
use forebay_core::ports::files::Files;

use super::aside;
use crate::format::{self, HeaderFault, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::options::Damaged;
use crate::segment::{self, Named};
use crate::state::Retired;

/// A segment file whose header verified.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) number: u64,
    pub(crate) epoch: u64,
    /// Length of the file.
    pub(crate) bytes: u32,
}

impl Source {
    /// The file's name.
    pub(crate) fn name(&self) -> String {
        segment::name(self.number)
    }

    /// Reads the whole segment.
    pub(crate) fn load(&self, files: &dyn Files, segment: &mut Vec<u8>) -> Result<()> {
        segment.resize(self.bytes as usize, 0);
        files.open(&self.name())?.read_at(segment, 0)
    }
}

/// The log's files, sorted by what they are.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    /// Segments in order.
    pub(crate) sources: Vec<Source>,
    /// Retired files.
    pub(crate) spares: Vec<Retired>,
    /// Segments whose header was damaged and which were set aside.
    pub(crate) set_aside: u64,
}

impl Directory {
    /// Reads names and headers. Files whose making was cut short are removed.
    pub(crate) fn read(files: &dyn Files, damaged: Damaged) -> Result<Self> {
        let mut directory = Self::default();
        for name in files.list()? {
            match segment::parse(&name) {
                Named::Segment(number) => directory.take(files, number, damaged)?,
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

    fn take(&mut self, files: &dyn Files, number: u64, damaged: Damaged) -> Result<()> {
        let (source, error) = source(files, number)?;
        let Some(error) = error else {
            self.sources.extend(source);
            return Ok(());
        };
        if error.kind() != Kind::Damaged || damaged == Damaged::Refuse {
            return Err(error);
        }
        tracing::error!(%error, "damaged segment set aside");
        self.set_aside += 1;
        match source {
            Some(source) => {
                aside::restore_length(files, &source)?;
                self.sources.push(source);
            }
            None => aside::whole_segment(files, number)?,
        }
        Ok(())
    }
}

/// Reads and checks a segment's header. What is wrong with the segment comes beside what its header says, if that much
/// is certain.
fn source(files: &dyn Files, number: u64) -> Result<(Option<Source>, Option<Error>)> {
    let name = segment::name(number);
    let bad = |kind, what: String| Some(Error::new(kind, "open log segment", &*name).because(what));
    let file = files.open(&name)?;
    let length = file.len()?;
    let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
    if length < bytes.len() as u64 {
        return Ok((None, bad(Kind::Damaged, "it is shorter than its header".into())));
    }
    file.read_at(&mut bytes, 0)?;
    Ok(match SegmentHeader::decode(&bytes) {
        Ok(header) if header.number != number => {
            (None, bad(Kind::Damaged, format!("its header is that of segment {}", header.number)))
        }
        Ok(header) => {
            let short = length < u64::from(header.bytes);
            let error =
                || bad(Kind::Damaged, format!("it has {length} bytes and should have {}", header.bytes));
            let source = Source { number, epoch: header.epoch, bytes: header.bytes };
            (Some(source), short.then(error).flatten())
        }
        Err(HeaderFault::Damaged) => (None, bad(Kind::Damaged, "its header does not verify".into())),
        Err(HeaderFault::Version(version)) => {
            let what = format!("it has format {version}, this program reads {}", format::VERSION);
            (None, bad(Kind::Unsupported, what))
        }
    })
}
