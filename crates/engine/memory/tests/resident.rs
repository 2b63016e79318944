//! What the process really takes: its own file, because it counts everything that the process allocates.

use std::alloc::System;
use std::sync::Arc;
use std::thread;

use forebay_core::entry::{Delete, Read, Version, Write};
use forebay_core::limits::VALUE_BYTES_MAX_DEFAULT;
use forebay_core::ports::local_store::LocalStore;
use forebay_core::time::Instant;
use forebay_memory::{Memory, MemoryOptions};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const BUDGET: usize = 48 * 1024 * 1024;
const NOW: Instant = Instant::from_ms(1_700_000_000_000);
/// Stacks, the harness, what the allocator keeps for itself.
const CONSTANT: usize = 8 * 1024 * 1024;

/// Twenty times the budget, in values of all sizes, from two threads that also overwrite and delete each other's.
fn churn(store: &Memory) {
    let bytes = vec![1; 512 * 1024];
    thread::scope(|scope| {
        for thread in 0..2u64 {
            let bytes = &bytes;
            scope.spawn(move || {
                let mut state = 7 + thread;
                let mut random = |below: u64| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state % below
                };
                let mut written = 0;
                while written < 10 * BUDGET {
                    let length = match random(1_000) {
                        0 => random(bytes.len() as u64),
                        1..50 => random(20_000),
                        _ => random(400),
                    } as usize;
                    let key = random(400_000).to_be_bytes();
                    if random(10) == 0 {
                        store.delete(&key, Delete::at(NOW));
                    } else {
                        store.write(&key, &bytes[..length], Write::at(NOW));
                        written += length + 100;
                    }
                }
            });
        }
    });
}

fn allocated(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change.bytes_allocated - change.bytes_deallocated
}

/// Resident memory of this process, as Linux tells it.
fn resident() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split(' ').nth(1)?.parse::<usize>().ok()? * 4096)
}

#[test]
fn what_is_allocated_is_what_the_budget_says() {
    let resident_before = resident().unwrap();
    let region = Region::new(ALLOCATOR);
    let store = Arc::new(Memory::new(MemoryOptions {
        bytes_max: BUDGET,
        value_bytes_max: VALUE_BYTES_MAX_DEFAULT,
        first_version: Version(1),
    }));
    let empty = allocated(&region);
    assert!(empty < BUDGET / 64, "an empty store allocates {empty} bytes");

    churn(&store);
    let stats = store.stats();
    let (allocated_full, resident_full) = (allocated(&region), resident().unwrap() - resident_before);
    println!(
        "budget {BUDGET}, counted {}, allocated {allocated_full}, resident {resident_full}",
        stats.bytes
    );
    assert!(stats.evicted > 10_000, "the store was full");
    assert!(stats.bytes as usize <= BUDGET);
    assert!(stats.bytes as usize > BUDGET * 9 / 10, "only {} of the budget is used", stats.bytes);
    assert!(allocated_full <= BUDGET * 110 / 100, "{allocated_full} bytes are allocated");
    assert!(resident_full <= BUDGET * 115 / 100 + CONSTANT, "{resident_full} bytes are resident");

    let reads = Region::new(ALLOCATOR);
    let hits = (0..400_000u64).filter(|number| store.read(&number.to_be_bytes(), Read::at(NOW), &mut |_| ()));
    assert!(hits.count() > 10_000);
    assert_eq!(reads.change().allocations + reads.change().reallocations, 0, "hits allocate nothing");

    store.flush(NOW, NOW);
    assert_eq!(store.stats().items, 0);
    while store.sweep(NOW) > 0 {}
    let flushed = allocated(&region);
    assert!(flushed <= empty + 1024 * 1024, "{flushed} bytes are still allocated after a flush");
}
