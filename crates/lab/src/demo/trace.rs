//! Reads access traces: `.xz` files of big-endian 32-bit keys, decoded as they are replayed.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::PathBuf;

use forebay_core::error::{Error, Kind, Result};
use lzma_rust2::XzReader;

use super::limits;

/// web07 of the cache2k benchmark suite, © headissue GmbH, Jens Wilke, CC BY 4.0; see the README beside it.
const WEB07: &[u8] = include_bytes!("../../traces/web07.trace.xz");
const XZ_MAGIC: &[u8] = b"\xfd7zXZ\0";
const KEY_BYTES: usize = 4;
const BUFFER_BYTES: usize = 1_024 * KEY_BYTES;

/// Where a trace comes from. It can be opened any number of times.
#[derive(Clone, Debug)]
pub(super) enum Trace {
    /// The one that comes with Forebay.
    Web07,
    /// The user's own.
    File(PathBuf),
}

impl Trace {
    /// What to call it, credit included where one is due.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Web07 => "web07 (© headissue GmbH, Jens Wilke, CC BY 4.0)".to_string(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Starts reading at the first access.
    pub(super) fn open(&self) -> Result<Accesses> {
        let input: Box<dyn Read + Send> = match self {
            Self::Web07 => Box::new(WEB07),
            Self::File(path) => {
                let open = |error| Error::new(Kind::Invalid, "open trace", self.name()).because(error);
                Box::new(BufReader::new(File::open(path).map_err(open)?))
            }
        };
        Accesses::new(self.name(), input)
    }

    /// Reads the trace once through: how long it is, and which products it needs.
    pub(super) fn survey(&self) -> Result<Survey> {
        let survey = survey(self.open()?, limits::PRODUCTS_MAX)?;
        if survey.accesses < limits::TRACE_ACCESSES_MIN {
            let few = format!(
                "{}: {} accesses, at least {} are needed",
                self.name(),
                survey.accesses,
                limits::TRACE_ACCESSES_MIN
            );
            return Err(Error::new(Kind::Invalid, "read trace", few));
        }
        Ok(survey)
    }
}

/// What a trace holds, as far as it is used.
#[derive(Debug)]
pub(super) struct Survey {
    /// Accesses that can be replayed.
    pub(super) accesses: u64,
    /// Every key among them, once.
    pub(super) keys: Vec<u32>,
    /// False if the trace goes on behind a limit.
    pub(super) whole: bool,
}

fn survey(accesses: Accesses, products_max: usize) -> Result<Survey> {
    let mut keys = HashSet::new();
    let mut count = 0;
    let mut whole = true;
    for key in accesses {
        let key = key?;
        let full = keys.len() == products_max && !keys.contains(&key);
        if full || count == limits::TRACE_ACCESSES_MAX {
            whole = false;
            break;
        }
        keys.insert(key);
        count += 1;
    }
    Ok(Survey { accesses: count, keys: keys.into_iter().collect(), whole })
}

/// The keys of a trace in order. Holds one small buffer and the decoder's dictionary, however long the trace is.
pub(super) struct Accesses {
    name: String,
    reader: XzReader<Box<dyn Read + Send>>,
    buffer: Vec<u8>,
    at: usize,
}

impl Accesses {
    fn new(name: String, mut input: Box<dyn Read + Send>) -> Result<Self> {
        let mut magic = Vec::with_capacity(XZ_MAGIC.len());
        let read = |error| Error::new(Kind::Io, "read trace", name.clone()).because(error);
        input.by_ref().take(XZ_MAGIC.len() as u64).read_to_end(&mut magic).map_err(read)?;
        if magic != XZ_MAGIC {
            return Err(Error::new(Kind::Invalid, "read trace", format!("{name}: not an .xz file")));
        }
        let whole: Box<dyn Read + Send> = Box::new(XZ_MAGIC.chain(input));
        let reader = XzReader::new_mem_limit(whole, true, limits::TRACE_MEMORY_KIB_MAX);
        Ok(Self { name, reader, buffer: Vec::with_capacity(BUFFER_BYTES), at: 0 })
    }

    /// Reads whole keys into the empty buffer; leaves it empty at the end of the trace.
    fn refill(&mut self) -> Result<()> {
        self.at = 0;
        self.buffer.clear();
        let decoded = self.reader.by_ref().take(BUFFER_BYTES as u64).read_to_end(&mut self.buffer);
        let damaged = |what: &str| Error::new(Kind::Damaged, "read trace", format!("{}{what}", self.name));
        decoded.map_err(|error| damaged("").because(error))?;
        if !self.buffer.len().is_multiple_of(KEY_BYTES) {
            return Err(damaged(": ends within a key"));
        }
        Ok(())
    }
}

impl Iterator for Accesses {
    type Item = Result<u32>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.buffer.len()
            && let Err(error) = self.refill()
        {
            self.buffer.clear();
            return Some(Err(error));
        }
        let key: [u8; KEY_BYTES] = *self.buffer.get(self.at..)?.first_chunk()?;
        self.at += KEY_BYTES;
        Some(Ok(u32::from_be_bytes(key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: Vec<u8>) -> Result<Vec<u32>> {
        Accesses::new("test".into(), Box::new(std::io::Cursor::new(bytes)))?.collect()
    }

    #[test]
    fn the_trace_that_comes_along_is_read_whole() {
        let survey = Trace::Web07.survey().unwrap();
        assert_eq!((survey.accesses, survey.keys.len(), survey.whole), (76_118, 20_484, true));
    }

    #[test]
    fn keys_come_in_the_order_of_the_trace() {
        let first: Vec<u32> = Trace::Web07.open().unwrap().take(5).map(Result::unwrap).collect();
        assert_eq!(first, [0, 1, 2, 0, 1]);
    }

    #[test]
    fn a_trace_cut_anywhere_is_an_error_and_never_a_short_trace() {
        for length in [6, 20, 1_000, WEB07.len() / 2, WEB07.len() - 1] {
            let error = read(WEB07[..length].to_vec()).unwrap_err();
            assert_eq!(error.kind(), Kind::Damaged, "{length}: {error}");
        }
    }

    #[test]
    fn a_flipped_bit_is_found_by_the_checksum() {
        for place in [40, 5_000, WEB07.len() / 3, WEB07.len() - 100] {
            let mut bytes = WEB07.to_vec();
            bytes[place] ^= 0x10;
            assert!(read(bytes).is_err(), "{place}");
        }
    }

    #[test]
    fn a_file_that_is_not_xz_is_refused_by_name() {
        for bytes in [b"".to_vec(), b"hello, this is no trace".to_vec()] {
            let error = read(bytes).unwrap_err();
            assert_eq!(error.to_string(), "read trace test: not an .xz file: invalid");
        }
        let error = Trace::File("no/such.xz".into()).survey().unwrap_err();
        assert!(error.to_string().starts_with("open trace no/such.xz: invalid"), "{error}");
    }

    #[test]
    fn a_trace_that_needs_more_products_than_allowed_is_used_up_to_there() {
        let survey = survey(Trace::Web07.open().unwrap(), 100).unwrap();
        assert_eq!(survey.keys.len(), 100);
        assert!(!survey.whole);
        let used: HashSet<u32> =
            Trace::Web07.open().unwrap().take(survey.accesses as usize).map(Result::unwrap).collect();
        assert_eq!(used.len(), 100);
    }
}
