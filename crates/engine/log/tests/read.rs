//! Records that are read together are the same as read one by one, and cost fewer reads.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use forebay_contract::files::Saboteur;
use forebay_contract::random::Random;
use forebay_core::error::Kind;
use forebay_log::{Class, Log, LogOptions, Opened, Position, open};

#[path = "support/watched.rs"]
mod watched;

use watched::{Step, Watched};

/// A log on a disk that counts how often it is read.
fn start() -> (Log, Saboteur, Arc<AtomicU64>) {
    let (files, reads) = (Saboteur::new(), Arc::new(AtomicU64::new(0)));
    let counted = reads.clone();
    let counting = Watched::new(files.clone(), move |step| {
        counted.fetch_add(u64::from(step == Step::Read), Relaxed);
        true
    });
    let options = LogOptions {
        segment_bytes: 64 * 1024,
        pending_bytes_max: 1 << 20,
        disk_bytes_max: 4 << 20,
        ..LogOptions::default()
    };
    let Opened { log, .. } = open(counting, options, &mut |_| Ok(())).unwrap();
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
