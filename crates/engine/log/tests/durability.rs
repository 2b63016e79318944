//! What was confirmed survives every crash, and nothing else is ever made up: 10,000 random histories on the saboteur.

#![expect(clippy::panic, reason = "a failed history ends the test")]

use std::sync::Arc;

use forebay_contract::files::Saboteur;
use forebay_core::error::Result;
use forebay_core::ports::files::{File, Files};

mod support;

use support::history::{Seen, bare, history};

const HISTORIES: u64 = 10_000;

/// `HISTORIES`, in two halves so that two cores share them. The seed of a failure is in its message.
fn histories(seeds: std::ops::Range<u64>) -> Seen {
    let mut seen = Seen::default();
    for seed in seeds {
        if let Err(broken) = history(seed, bare, &mut seen) {
            panic!("history {seed}: {broken}");
        }
    }
    seen
}

/// Histories in which nothing happens prove nothing.
fn were_worth_running(seen: &Seen) {
    let counts = [seen.torn, seen.clean, seen.rolled, seen.released, seen.poisoned, seen.failed_openings];
    assert!(counts.iter().all(|count| *count > 200) && seen.records > 10_000, "{seen:?}");
}

#[test]
fn what_was_confirmed_is_replayed_once_in_order_and_unchanged() {
    were_worth_running(&histories(0..HISTORIES / 2));
}

#[test]
fn what_was_confirmed_is_replayed_once_in_order_and_unchanged_second_half() {
    were_worth_running(&histories(HISTORIES / 2..HISTORIES));
}

/// Files whose syncs do nothing: what the log would be with its sync calls deleted.
struct Forgetful {
    files: Saboteur,
    forgets: Forgets,
}

#[derive(Clone, Copy, PartialEq)]
enum Forgets {
    Bytes,
    Names,
}

struct ForgetfulFile {
    file: Box<dyn File>,
    forgets: Forgets,
}

impl Forgetful {
    fn wrap(&self, file: Box<dyn File>) -> Box<dyn File> {
        Box::new(ForgetfulFile { file, forgets: self.forgets })
    }
}

impl Files for Forgetful {
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
        if self.forgets == Forgets::Names { Ok(()) } else { self.files.sync_names() }
    }
}

impl File for ForgetfulFile {
    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file.write_at(bytes, offset)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_at(bytes, offset)
    }

    fn sync(&self) -> Result<()> {
        if self.forgets == Forgets::Bytes { Ok(()) } else { self.file.sync() }
    }
}

fn broken_within(count: u64, wrap: support::history::Wrap) -> bool {
    (0..count).any(|seed| history(seed, wrap, &mut Seen::default()).is_err())
}

#[test]
fn without_the_sync_of_files_the_histories_turn_red() {
    assert!(broken_within(20, |files| Arc::new(Forgetful { files, forgets: Forgets::Bytes })));
}

#[test]
fn without_the_sync_of_names_the_histories_turn_red() {
    assert!(broken_within(20, |files| Arc::new(Forgetful { files, forgets: Forgets::Names })));
}
