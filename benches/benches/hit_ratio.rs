//! Hit ratio of the memory store beside policies by the book, quick_cache, moka and the optimum, on a recorded trace; and its cost.
//!
//! `cargo bench --bench hit_ratio [-- TRACE[.xz] [cost]]`: a trace is one big-endian 32-bit key after the other, and without one
//! the demo's is taken; a miss is followed by a write of 100 bytes. Capacities are shares of the trace's distinct keys; our store's budget in bytes is set so that
//! it holds as many entries as the others when full. A plot goes into `report/hit-ratio-TRACE.svg`.

use std::collections::HashSet;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Instant as Wall;

use forebay_benches::plot::{Line, lines};
use forebay_benches::policies::{lru, optimum, s3_fifo, sieve, w_tiny_lfu};
use forebay_benches::trace::{DEMO, load, zipf};
use forebay_core::entry::{Read, Version, Write};
use forebay_core::ports::local_store::LocalStore;
use forebay_core::time::Instant;
use forebay_memory::{Memory, MemoryOptions};
use rustix::time::{ClockId, clock_gettime};

const SHARES: [f64; 6] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
const VALUE: [u8; 100] = [7; 100];
const ZIPF_KEYS: usize = 1_000_000;
const ZIPF_ACCESSES: usize = 2_000_000;
const NOW: Instant = Instant::from_ms(1_700_000_000_000);

/// A cache under test: true on a hit, fills on a miss.
type Access = Box<dyn Fn(u32) -> bool + Send + Sync>;

/// Makes a cache that holds so many entries of a trace.
type Make<'a> = &'a dyn Fn(&[u32], usize) -> Access;

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo bench` adds the switch and, where it was given one, its filter.
    let mut arguments =
        std::env::args().skip(1).filter(|argument| argument != "--bench" && argument != "hit_ratio");
    let path = arguments.next().unwrap_or_else(|| DEMO.into());
    let trace = load(&path)?;
    let keys = trace.iter().collect::<HashSet<_>>().len();
    let compulsory = 100.0 * keys as f64 / trace.len() as f64;
    println!("{path}: {} accesses, {keys} keys, {:.2} % at best", trace.len(), 100.0 - compulsory);
    println!("\nHit ratio in % at a capacity of so many % of the keys\n");
    println!("| | {} |", SHARES.map(|share| format!("{} %", share * 100.0)).join(" | "));
    println!("|---|{}", "---|".repeat(SHARES.len()));
    let capacities = SHARES.map(|share| (keys as f64 * share) as usize);
    let mut plotted = Vec::new();
    let mut row = |name: &str, ratio: &dyn Fn(usize) -> f64| {
        let ratios = capacities.map(ratio);
        println!("| {name} | {} |", ratios.map(|ratio| format!("{ratio:.2}")).join(" | "));
        let points = SHARES.iter().map(|share| share * 100.0).zip(ratios).collect();
        plotted.push(Line { name: name.into(), points });
    };
    let of = |access: &Access| percent(trace.iter().filter(|key| access(**key)).count(), trace.len());
    row("Belady's optimum", &|capacity| percent(optimum(&trace, capacity), trace.len()));
    row("Forebay", &|capacity| of(&memory(&trace, capacity)));
    row("S3-FIFO", &|capacity| percent(s3_fifo(&trace, capacity), trace.len()));
    row("W-TinyLFU", &|capacity| percent(w_tiny_lfu(&trace, capacity), trace.len()));
    row("SIEVE", &|capacity| percent(sieve(&trace, capacity), trace.len()));
    row("LRU", &|capacity| percent(lru(&trace, capacity), trace.len()));
    row("quick_cache, 1 shard", &|capacity| of(&quick(capacity, 1)));
    row("moka", &|capacity| of(&moka(capacity)));
    let name = Path::new(&path).file_name().and_then(|name| name.to_str()).unwrap_or(&path);
    let name = name.split('.').next().unwrap_or(name);
    let plot = format!("report/hit-ratio-{name}.svg");
    lines(Path::new(&plot), &format!("Hits of {name}"), "capacity, % of all keys", "hit ratio, %", &plotted)?;

    if arguments.next().is_none_or(|argument| argument != "cost") {
        return Ok(());
    }
    println!("\nCost: million accesses per second (nanoseconds of CPU per access)\n");
    println!(
        "| | this trace, 10 %, 1 thread | 2 threads | zipf, 10 %, 1 thread | 2 threads | zipf, hits, 2 threads |"
    );
    println!("|---|---|---|---|---|---|");
    let zipf = zipf(ZIPF_KEYS, 0.99, ZIPF_ACCESSES);
    let capacity = keys / 10;
    let makers: [(&str, Make<'_>); 3] = [
        ("Forebay", &|trace, capacity| memory(trace, capacity)),
        ("quick_cache, 64 shards", &|_, capacity| quick(capacity, 64)),
        ("moka", &|_, capacity| moka(capacity)),
    ];
    for (name, make) in makers {
        let mut cells = Vec::new();
        for (accesses, capacity) in [(&trace, capacity), (&zipf, ZIPF_KEYS / 10), (&zipf, ZIPF_KEYS)] {
            let cache = make(accesses, capacity);
            if capacity < ZIPF_KEYS {
                cells.push(speed(&cache, accesses, 1));
            }
            cells.push(speed(&cache, accesses, 2));
        }
        println!("| {name} | {} |", cells.join(" | "));
    }
    Ok(())
}

fn percent(hits: usize, of: usize) -> f64 {
    100.0 * hits as f64 / of as f64
}

fn store(bytes_max: usize) -> Arc<Memory> {
    let first_version = Version(1);
    Arc::new(Memory::new(MemoryOptions { bytes_max, value_bytes_max: 1024, first_version }))
}

fn access(store: Arc<Memory>) -> Access {
    Box::new(move |key| {
        let key = key.to_be_bytes();
        let hit = store.read(&key, Read::at(NOW), &mut |view| assert_eq!(view.value.len(), VALUE.len()));
        if !hit {
            store.write(&key, &VALUE, Write::at(NOW));
        }
        hit
    })
}

/// The store with the budget at which it holds `capacity` entries once the trace has gone through.
fn memory(trace: &[u32], capacity: usize) -> Access {
    let (mut low, mut high) = (capacity * 100, capacity * 400 + 64 * 1024);
    for _ in 0..12 {
        let middle = (low + high) / 2;
        let probe = store(middle);
        let access = access(probe.clone());
        // A stretch that fills it is enough to see how many entries a budget holds.
        trace.iter().take(2_000_000).for_each(|key| _ = access(*key));
        if probe.stats().items as usize > capacity { high = middle } else { low = middle }
    }
    access(store(low))
}

fn quick(capacity: usize, shards: usize) -> Access {
    let options = quick_cache::OptionsBuilder::new()
        .estimated_items_capacity(capacity)
        .weight_capacity(capacity as u64)
        .shards(shards)
        .build()
        .expect("the options are complete");
    let cache: quick_cache::sync::Cache<Box<[u8]>, Arc<[u8]>> = quick_cache::sync::Cache::with_options(
        options,
        quick_cache::UnitWeighter,
        Default::default(),
        Default::default(),
    );
    Box::new(move |key| {
        let key = key.to_be_bytes();
        let hit = cache.get(&key[..]).is_some_and(|value| value.len() == VALUE.len());
        if !hit {
            cache.insert(key.into(), Arc::from(&VALUE[..]));
        }
        hit
    })
}

fn moka(capacity: usize) -> Access {
    let cache: moka::sync::Cache<Box<[u8]>, Arc<[u8]>> = moka::sync::Cache::new(capacity as u64);
    Box::new(move |key| {
        let key = key.to_be_bytes();
        let hit = cache.get(&key[..]).is_some_and(|value| value.len() == VALUE.len());
        if !hit {
            cache.insert(key.into(), Arc::from(&VALUE[..]));
        }
        hit
    })
}

/// Every thread goes through the whole trace, from a place of its own. The best of three rounds.
fn speed(access: &Access, trace: &[u32], threads: usize) -> String {
    let mut best = (0.0, f64::MAX);
    for _ in 0..3 {
        let (wall, cpu) = (Wall::now(), cpu_ns());
        thread::scope(|scope| {
            for thread in 0..threads {
                let (front, back) = trace.split_at(trace.len() * thread / threads);
                scope.spawn(move || back.iter().chain(front).for_each(|key| _ = access(*key)));
            }
        });
        let accesses = (trace.len() * threads) as f64;
        let round = (accesses / wall.elapsed().as_secs_f64() / 1e6, (cpu_ns() - cpu) as f64 / accesses);
        best = (round.0.max(best.0), round.1.min(best.1));
    }
    format!("{:.1} ({:.0})", best.0, best.1)
}

fn cpu_ns() -> i128 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}
