//! What the log said, and what it therefore owes.

use std::collections::{BTreeMap, BTreeSet};

use forebay_log::{Log, Position};

/// A broken promise, in words.
pub(crate) type Broken = String;

/// One record as it was appended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Appended {
    pub(crate) position: Position,
    pub(crate) kind: u8,
    pub(crate) body: Vec<u8>,
}

/// Everything that matters of the past.
#[derive(Default)]
pub(crate) struct Model {
    /// Appended and, as far as anybody can know, perhaps still there.
    pub(crate) records: BTreeMap<u64, Appended>,
    /// Of those, what the log said was durable.
    confirmed: BTreeSet<u64>,
    /// Segments before this one were released: their records may go.
    released: u64,
    /// The greatest sequence that was ever handed out.
    used: u64,
}

impl Model {
    /// The log took a record.
    pub(crate) fn appended(&mut self, record: Appended) -> Result<(), Broken> {
        let sequence = record.position.sequence;
        if sequence <= self.used {
            return Err(format!("sequence {sequence} was used before"));
        }
        self.used = sequence;
        self.records.insert(sequence, record);
        Ok(())
    }

    /// The log said that everything up to `sequence` is durable.
    pub(crate) fn durable(&mut self, sequence: u64) {
        self.confirmed.extend(self.records.range(..=sequence).map(|(sequence, _)| *sequence));
    }

    /// The log was told that segments may go, and says where it begins now.
    pub(crate) fn released(&mut self, first: u64) {
        self.released = self.released.max(first);
    }

    /// Whether the record's segment is still in use.
    pub(crate) fn is_live(&self, record: &Appended) -> bool {
        record.position.segment >= self.released
    }

    /// The log was opened and replayed this.
    pub(crate) fn replayed(&mut self, replayed: Vec<Appended>) -> Result<(), Broken> {
        let mut last = 0;
        for record in &replayed {
            let sequence = record.position.sequence;
            if sequence <= last {
                return Err(format!("sequence {sequence} was replayed after {last}"));
            }
            last = sequence;
            match self.records.get(&sequence) {
                None => return Err(format!("record {sequence} was never appended, or was gone before")),
                Some(appended) if appended != record => return Err(format!("record {sequence} has changed")),
                Some(_) => {}
            }
        }
        let there: BTreeSet<_> = replayed.iter().map(|record| record.position.sequence).collect();
        for sequence in self.confirmed.difference(&there) {
            if self.records.get(sequence).is_some_and(|record| self.is_live(record)) {
                return Err(format!("record {sequence} was confirmed and is lost"));
            }
        }
        self.records = replayed.into_iter().map(|record| (record.position.sequence, record)).collect();
        self.confirmed = there;
        self.released = 0;
        Ok(())
    }

    /// Reads a record back through the log: what is live is there bit by bit, unless the disk itself fails.
    pub(crate) fn check_read(&self, log: &Log, record: &Appended, disk_fails: bool) -> Result<(), Broken> {
        match log.read(record.position) {
            Ok(body) if body == record.body => Ok(()),
            Ok(_) => Err(format!("record {} was read wrong", record.position.sequence)),
            Err(_) if disk_fails || !self.is_live(record) => Ok(()),
            Err(error) => Err(format!("record {} was not read: {error}", record.position.sequence)),
        }
    }
}
