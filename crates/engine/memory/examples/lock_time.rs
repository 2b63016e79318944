//! What writes cost and how long they keep others waiting, in steady eviction of small and large values:
//! `cargo run --release -p forebay-memory --example lock_time`. A write is measured in processor time of its thread; the wait
//! is that of a reader of the same store, by the clock, so that the machine's own pauses are in its worst.

#![allow(clippy::print_stdout, reason = "it prints what it measures")]

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant as Watch};

use forebay_core::entry::{Read, Version, Write, Written};
use forebay_core::ports::local_store::LocalStore;
use forebay_core::time::Instant;
use forebay_memory::{Memory, MemoryOptions};
use rustix::time::{ClockId, clock_gettime};

const MIB: usize = 1024 * 1024;
const NOW: Instant = Instant::from_ms(1_700_000_000_000);
const SMALL: usize = 100;

/// A store, and which of its writes are large.
struct Mix {
    budget_mib: usize,
    value_mib: usize,
    large: usize,
    large_of_thousand: u64,
}

const MIXES: [Mix; 7] = [
    mix(64, 1, 900 * 1024, 1),
    mix(64, 1, 900 * 1024, 20),
    mix(64, 1, 900 * 1024, 500),
    mix(1024, 1, 900 * 1024, 1),
    mix(64, 1, 20 * 1024, 200),
    mix(512, 128, 900 * 1024, 1),
    mix(512, 128, 20 * 1024, 200),
];

const fn mix(budget_mib: usize, value_mib: usize, large: usize, large_of_thousand: u64) -> Mix {
    Mix { budget_mib, value_mib, large, large_of_thousand }
}

fn main() {
    println!(
        "budget and largest value in MiB, bytes of large values and how many of a thousand | write: small worst, \
         large worst | wait: 99.99 %, worst | refused"
    );
    for mix in MIXES {
        let store = Memory::new(MemoryOptions {
            bytes_max: mix.budget_mib * MIB,
            value_bytes_max: mix.value_mib * MIB,
            first_version: Version(1),
        });
        let full = AtomicBool::new(false);
        let done = AtomicBool::new(false);
        let ((small, large, refused), waits) = thread::scope(|scope| {
            let reader = scope.spawn(|| waits(&store, &full, &done));
            let written = write(&store, &mix, &full);
            done.store(true, Relaxed);
            (written, reader.join().unwrap_or_default())
        });
        let Mix { budget_mib, value_mib, large: bytes, large_of_thousand } = mix;
        let most = waits.get(waits.len() * 9_999 / 10_000).copied().unwrap_or_default();
        let worst = waits.last().copied().unwrap_or_default();
        println!(
            "{budget_mib}, {value_mib}, {bytes}, {large_of_thousand} | {small:?}, {large:?} | {most:?}, {worst:?} | {refused}"
        );
    }
}

/// The worst small and large writes once the store is full, and how many were refused.
fn write(store: &Memory, mix: &Mix, full: &AtomicBool) -> (Duration, Duration, usize) {
    let value = vec![1; mix.large];
    let (mut state, mut written, mut refused) = (7u64, 0, 0);
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut worst = [Duration::ZERO; 2];
    while written < 6 * mix.budget_mib * MIB {
        let large = random(1_000) < mix.large_of_thousand;
        // Sizes differ, as they do in life: what leaves is never just the room that is wanted.
        let length = if large { mix.large - random(mix.large as u64 / 4) as usize } else { SMALL };
        let key = random(1 << 40).to_be_bytes();
        let start = processor_time();
        let answer = store.write(&key, &value[..length], Write::at(NOW));
        let took = processor_time() - start;
        refused += usize::from(!matches!(answer, Written::Stored(_)));
        written += length;
        if written > 2 * mix.budget_mib * MIB {
            full.store(true, Relaxed);
            worst[usize::from(large)] = worst[usize::from(large)].max(took);
        }
    }
    (worst[0], worst[1], refused)
}

/// How long reads of a full store took, in order.
fn waits(store: &Memory, full: &AtomicBool, done: &AtomicBool) -> Vec<Duration> {
    let mut waits = Vec::new();
    for number in 0u64.. {
        if done.load(Relaxed) {
            break;
        }
        let start = Watch::now();
        store.read(&number.to_be_bytes(), Read::at(NOW), &mut |_| ());
        if full.load(Relaxed) {
            waits.push(start.elapsed());
        }
        thread::sleep(Duration::from_micros(1));
    }
    waits.sort_unstable();
    waits
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
