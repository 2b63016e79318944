//! What was confirmed survives every crash, and nothing else is ever made up: 10,000 random histories on the saboteur.

#![expect(clippy::panic, reason = "a failed history ends the test")]

mod support;
#[path = "support/watched.rs"]
mod watched;

use support::history::{Seen, bare, history};
use watched::{Step, Watched};

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

/// Whether a log with some of its sync calls left out is found out.
fn broken_within(count: u64, wrap: support::history::Wrap) -> bool {
    (0..count).any(|seed| history(seed, wrap, &mut Seen::default()).is_err())
}

#[test]
fn without_the_sync_of_files_the_histories_turn_red() {
    assert!(broken_within(20, |files| Watched::new(files, |step| step != Step::Sync)));
}

#[test]
fn without_the_sync_of_names_the_histories_turn_red() {
    assert!(broken_within(20, |files| Watched::new(files, |step| step != Step::SyncNames)));
}
