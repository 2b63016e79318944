//! Records that are read together are the same as read one by one, and cost fewer reads.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use forebay_contract::files::Saboteur;
use forebay_contract::random::Random;
use forebay_core::error::{Kind, Result};
use forebay_core::ports::files::{File, Files};
use forebay_log::{Class, Log, LogOptions, Opened, Position, open};

/// A disk that counts how often it is read.
struct Counting {
    files: Saboteur,
    reads: Arc<AtomicU64>,
}

struct CountingFile {
    file: Box<dyn File>,
    reads: Arc<AtomicU64>,
}

impl Counting {
    fn wrap(&self, file: Box<dyn File>) -> Box<dyn File> {
        Box::new(CountingFile { file, reads: self.reads.clone() })
    }
}

impl Files for Counting {
    fn list(&self) -> Result<Vec<String>> {
        self.files.list()
    }

    fn create(&self, name: &str, bytes: u64) -> Result<Box<dyn File>> {
        self.files.create(name, bytes).map(|file| self.wrap(file))
    }

    fn open(&self, name: &str) -> Result<Box<dyn File>> {
        self.files.open(name).map(|file| self.wrap(file))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.files.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.files.remove(name)
    }

    fn sync_names(&self) -> Result<()> {
        self.files.sync_names()
    }
}

impl File for CountingFile {
    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file.write_at(bytes, offset)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        self.reads.fetch_add(1, Relaxed);
        self.file.read_at(bytes, offset)
    }

    fn sync(&self) -> Result<()> {
        self.file.sync()
    }
}

fn start() -> (Log, Saboteur, Arc<AtomicU64>) {
    let (files, reads) = (Saboteur::new(), Arc::new(AtomicU64::new(0)));
    let counting = Counting { files: files.clone(), reads: reads.clone() };
    let options = LogOptions {
        segment_bytes: 64 * 1024,
        pending_bytes_max: 1 << 20,
        disk_bytes_max: 4 << 20,
        ..LogOptions::default()
    };
    let Opened { log, .. } = open(Arc::new(counting), options, &mut |_| Ok(())).unwrap();
    (log, files, reads)
}

fn append(log: &Log, bytes: usize) -> Position {
    loop {
        match log.append(Class::Free, 1, &[&vec![bytes as u8; bytes]]) {
            Ok(position) => return position,
            Err(_) => assert!(log.step()),
        }
    }
}

#[test]
fn records_read_together_are_those_that_are_read_one_by_one() {
    let (log, files, _) = start();
    let mut random = Random::new(7);
    let mut positions = Vec::new();
    for _ in 0..400 {
        let bytes = if random.one_in(20) { 9_000 } else { 1 + random.below(2_000) as usize };
        positions.push(append(&log, bytes));
        // The last ones are not written when they are read.
        while positions.len() < 390 && log.step() {}
    }
    log.release_before(positions[150].segment).unwrap();
    let damaged = positions[200];
    files.flip_bit(&format!("{:020}.log", damaged.segment), u64::from(damaged.offset) + 30, 3);
    let mut kinds = std::collections::BTreeSet::new();
    for round in 0..20 {
        let mut asked: Vec<_> = positions.iter().filter(|_| random.one_in(1 + round)).copied().collect();
        if round == 19 {
            asked.reverse();
        }
        for (position, read) in asked.iter().zip(log.read_many(&asked)) {
            let alone = log.read(*position).map_err(|error| error.kind());
            kinds.insert(format!("{:?}", alone.as_ref().err()));
            assert_eq!(read.map_err(|error| error.kind()), alone);
        }
        assert_eq!(log.read_many(&asked).len(), asked.len());
    }
    let seen = [None, Some(Kind::Damaged), Some(Kind::NotFound)].map(|kind| format!("{kind:?}"));
    assert!(seen.iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
}

#[test]
fn neighbours_share_a_read_and_strangers_do_not() {
    let (log, _, reads) = start();
    let positions: Vec<_> = (0..300).map(|_| append(&log, 100)).collect();
    while log.step() {}
    let cost = |asked: &[Position]| {
        let before = reads.load(Relaxed);
        assert!(log.read_many(asked).iter().all(Result::is_ok));
        reads.load(Relaxed) - before
    };
    assert_eq!(cost(&positions), 1);
    assert_eq!(cost(&[positions[0], positions[290]]), 2);
    assert_eq!(cost(&positions[..1]), 1);
}
