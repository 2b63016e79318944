//! How long a reader waits while a million entries end in the same second:
//! `cargo run --release -p forebay-memory --example mass_expiry`. The waits of the same reader before it are printed beside,
//! because the machine's own pauses are in both.

#![allow(clippy::print_stdout, reason = "it prints what it measures")]

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant as Watch};

use forebay_core::entry::{Read, Version, Write};
use forebay_core::limits::memory::SWEEP_DROPPED_MAX;
use forebay_core::ports::local_store::LocalStore;
use forebay_core::time::Instant;
use forebay_memory::{Memory, MemoryOptions};
use rustix::time::{ClockId, clock_gettime};

const ENTRIES: u32 = 1_000_000;
const START: Instant = Instant::from_ms(1_700_000_000_000);
const END: Instant = Instant::from_ms(1_700_000_010_000);
/// The pause between two sweeps, as the sweeper makes it.
const PAUSE: Duration = Duration::from_millis(5);

fn main() {
    let store = Memory::new(MemoryOptions {
        bytes_max: 256 << 20,
        value_bytes_max: 1 << 20,
        first_version: Version(1),
    });
    for number in 0..ENTRIES {
        store.write(&number.to_be_bytes(), &[7; 100], Write { expires_at: Some(END), ..Write::at(START) });
    }
    assert_eq!(store.stats().items, u64::from(ENTRIES), "all of them fit");
    println!("phase | sweeps, longest in processor time | reader: waits, 99.9 %, 99.99 %, worst");
    phase(&store, "before", START, Duration::from_secs(3));
    phase(&store, "expiry", END, Duration::MAX);
    println!("a sweep drops some {SWEEP_DROPPED_MAX} entries");
}

/// Sweeps until nothing is left or the time is over, while somebody reads.
fn phase(store: &Memory, name: &str, now: Instant, time: Duration) {
    let done = AtomicBool::new(false);
    let ((sweeps, longest), waits) = thread::scope(|scope| {
        let reader = scope.spawn(|| waits(store, now, &done));
        let (begun, mut sweeps, mut longest) = (Watch::now(), 0, Duration::ZERO);
        while store.stats().items > 0 && begun.elapsed() < time {
            let from = processor_time();
            store.sweep(now);
            longest = longest.max(processor_time() - from);
            sweeps += 1;
            thread::sleep(PAUSE);
        }
        done.store(true, Relaxed);
        ((sweeps, longest), reader.join().unwrap_or_default())
    });
    let at = |share: usize| waits.get(waits.len() * share / 10_000).copied().unwrap_or_default();
    let worst = waits.last().copied().unwrap_or_default();
    println!("{name} | {sweeps}, {longest:?} | {}, {:?}, {:?}, {worst:?}", waits.len(), at(9_990), at(9_999));
}

/// How long reads took, in order.
fn waits(store: &Memory, now: Instant, done: &AtomicBool) -> Vec<Duration> {
    let mut waits = Vec::new();
    for number in 0u32.. {
        if done.load(Relaxed) {
            break;
        }
        let key = (number % ENTRIES).to_be_bytes();
        let begun = Watch::now();
        store.read(&key, Read::at(now), &mut |_| ());
        waits.push(begun.elapsed());
        thread::sleep(Duration::from_micros(1));
    }
    waits.sort_unstable();
    waits
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
