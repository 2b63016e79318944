//! The demo's own journal: what was sent, and what the queue confirmed. One line each, written after the fact.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use forebay_core::error::{Error, Kind, Result};

use crate::demo::traffic::orders::Order;

/// The journal while it is written.
#[derive(Debug)]
pub(in crate::demo) struct Journal {
    path: PathBuf,
    file: BufWriter<File>,
}

/// What a journal says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::demo) struct Entries {
    /// Orders that were sent, confirmed or not.
    pub(in crate::demo) sent: HashSet<String>,
    /// Orders that the queue has confirmed.
    pub(in crate::demo) confirmed: HashSet<String>,
}

impl Journal {
    /// A new journal at `path`.
    pub(in crate::demo) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(|error| failed(path, error))?;
        Ok(Self { path: path.to_path_buf(), file: BufWriter::new(file) })
    }

    /// Notes, before sending, that `orders` are sent.
    pub(in crate::demo) fn sent(&mut self, orders: &[Order]) -> Result<()> {
        self.note("sent", orders)
    }

    /// Notes, after the confirm arrived, that `orders` are confirmed.
    pub(in crate::demo) fn confirmed(&mut self, orders: &[Order]) -> Result<()> {
        self.note("confirmed", orders)
    }

    fn note(&mut self, what: &str, orders: &[Order]) -> Result<()> {
        let mut write = || {
            orders.iter().try_for_each(|order| writeln!(self.file, "{what} {}", order.id))?;
            self.file.flush()
        };
        write().map_err(|error| failed(&self.path, error))
    }
}

/// Reads the journal at `path`.
pub(in crate::demo) fn read(path: &Path) -> Result<Entries> {
    let file = File::open(path).map_err(|error| failed(path, error))?;
    let mut entries = Entries::default();
    for line in BufReader::new(file).lines() {
        let line = line.map_err(|error| failed(path, error))?;
        match line.split_once(' ') {
            Some(("sent", id)) => entries.sent.insert(id.to_string()),
            Some(("confirmed", id)) => entries.confirmed.insert(id.to_string()),
            _ => return Err(Error::new(Kind::Damaged, "read journal", path.display().to_string())),
        };
    }
    Ok(entries)
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::new(Kind::Io, "keep journal", path.display().to_string()).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let orders = ["a", "b", "c"].map(|id| Order { id: id.into(), product: 7 });
        let mut journal = Journal::create(&path).unwrap();
        journal.sent(&orders).unwrap();
        journal.confirmed(&orders[..2]).unwrap();
        let entries = read(&path).unwrap();
        assert_eq!(entries.sent.len(), 3);
        assert_eq!(entries.confirmed, HashSet::from(["a".to_string(), "b".to_string()]));
    }

    #[test]
    fn a_journal_that_makes_no_sense_is_no_proof() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        std::fs::write(&path, "confirmed a\nconf").unwrap();
        assert_eq!(read(&path).unwrap_err().kind(), Kind::Damaged);
    }
}
