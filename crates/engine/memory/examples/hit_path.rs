//! What a hit costs: `cargo run --release -p forebay-memory --example hit_path`. Processor time of one thread, the least of
//! many rounds, so that what else runs on the machine counts little.

#![allow(clippy::print_stdout, reason = "it prints what it measures")]

use std::time::Duration;

use forebay_core::entry::{Read, Version, Write};
use forebay_core::ports::local_store::LocalStore;
use forebay_core::time::Instant;
use forebay_memory::{Memory, MemoryOptions};
use rustix::time::{ClockId, clock_gettime};

const NOW: Instant = Instant::from_ms(1_700_000_000_000);
const READS: u64 = 1 << 20;
const ROUNDS: usize = 60;

fn main() {
    println!("keys | nanoseconds for a hit: least, median");
    for keys in [1_000, 100_000] {
        let store = Memory::new(MemoryOptions {
            bytes_max: 256 << 20,
            value_bytes_max: 1 << 20,
            first_version: Version(1),
        });
        for number in 0..keys {
            store.write(&key(number), &[7; 100], Write::at(NOW));
        }
        let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round(&store, keys)).collect();
        rounds.sort_unstable_by(f64::total_cmp);
        println!("{keys} | {:.2}, {:.2}", rounds[0], rounds[ROUNDS / 2]);
    }
}

fn key(number: u64) -> [u8; 16] {
    let mut key = *b"product:00000000";
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}

fn round(store: &Memory, keys: u64) -> f64 {
    let (mut seen, mut state) = (0, 7u64);
    let begun = processor_time();
    for _ in 0..READS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        store.read(&key(state % keys), Read::at(NOW), &mut |view| seen += view.value.len());
    }
    let took = processor_time() - begun;
    assert_eq!(seen as u64, READS * 100, "every read is a hit");
    took.as_nanos() as f64 / READS as f64
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
