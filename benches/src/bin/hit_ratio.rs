//! Hit ratio and cost of the memory store's policies beside quick_cache, moka and the optimum, on a recorded trace.
//!
//! `cargo run --release --bin hit_ratio -- TRACE[.xz]`: a trace is one big-endian 32-bit key after the other; a miss is
//! followed by a write of 100 bytes. Capacities are shares of the trace's distinct keys; our store's budget in bytes is set so that
//! it holds as many entries as the others when full.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::error::Error;
use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;
use std::thread;
use std::time::Instant as Wall;

use forebay_core::entry::{Read, Version, Write};
use forebay_core::ports::local_store::LocalStore;
use forebay_core::time::Instant;
use forebay_memory::policy::{Lru, Policy, S3Fifo, Sieve};
use forebay_memory::{Memory, MemoryOptions};
use rustix::time::{ClockId, clock_gettime};

const SHARES: [f64; 6] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
const VALUE: [u8; 100] = [7; 100];
const ZIPF_KEYS: usize = 1_000_000;
const ZIPF_ACCESSES: usize = 5_000_000;
const NOW: Instant = Instant::from_ms(1_700_000_000_000);

/// A cache under test: true on a hit, fills on a miss.
type Access = Box<dyn Fn(u32) -> bool + Send + Sync>;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: hit_ratio TRACE[.xz]")?;
    let trace = load(&path)?;
    let keys = trace.iter().collect::<HashSet<_>>().len();
    let compulsory = 100.0 * keys as f64 / trace.len() as f64;
    println!("{path}: {} accesses, {keys} keys, {:.2} % at best", trace.len(), 100.0 - compulsory);
    println!("\nHit ratio in % at a capacity of so many % of the keys\n");
    println!("| | {} |", SHARES.map(|share| format!("{} %", share * 100.0)).join(" | "));
    println!("|---|{}", "---|".repeat(SHARES.len()));
    let capacities = SHARES.map(|share| (keys as f64 * share) as usize);
    let row = |name: &str, ratio: &dyn Fn(usize) -> f64| {
        println!("| {name} | {} |", capacities.map(|capacity| format!("{:.2}", ratio(capacity))).join(" | "));
    };
    let of = |access: &Access| percent(trace.iter().filter(|key| access(**key)).count(), trace.len());
    row("Belady's optimum", &|capacity| percent(optimum(&trace, capacity), trace.len()));
    row("Forebay, S3-FIFO", &|capacity| of(&memory::<S3Fifo>(&trace, capacity)));
    row("Forebay, SIEVE", &|capacity| of(&memory::<Sieve>(&trace, capacity)));
    row("Forebay, LRU", &|capacity| of(&memory::<Lru>(&trace, capacity)));
    row("quick_cache, 1 shard", &|capacity| of(&quick(capacity, 1)));
    row("moka", &|capacity| of(&moka(capacity)));

    println!("\nCost: million accesses per second (nanoseconds of CPU per access)\n");
    println!(
        "| | this trace, 10 %, 1 thread | 2 threads | zipf, 10 %, 1 thread | 2 threads | zipf, hits, 2 threads |"
    );
    println!("|---|---|---|---|---|---|");
    let zipf = zipf(0.99);
    let capacity = keys / 10;
    let makers: [(&str, &dyn Fn(&[u32], usize) -> Access); 3] = [
        ("Forebay, S3-FIFO", &|trace, capacity| memory::<S3Fifo>(trace, capacity)),
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

fn load(path: &str) -> Result<Vec<u32>, Box<dyn Error>> {
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    if path.ends_with(".xz") {
        lzma_rust2::XzReader::new(file, true).read_to_end(&mut bytes)?;
    } else {
        std::io::BufReader::new(file).read_to_end(&mut bytes)?;
    }
    Ok(bytes.chunks_exact(4).map(|key| u32::from_be_bytes([key[0], key[1], key[2], key[3]])).collect())
}

/// Accesses to as many keys, the n-th of them asked for in proportion to one over n to the `skew`.
fn zipf(skew: f64) -> Vec<u32> {
    let mut sums: Vec<f64> = (1..=ZIPF_KEYS).map(|rank| (rank as f64).powf(-skew)).collect();
    let mut total = 0.0;
    for sum in &mut sums {
        total += *sum;
        *sum = total;
    }
    let mut state = 0u64;
    let uniform = |_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        total * ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    // Ranks are scattered, so that neighbours in popularity are not neighbours in memory.
    let rank = |point: f64| (sums.partition_point(|sum| *sum < point) as u32).wrapping_mul(0x9e37_79b1);
    (0..ZIPF_ACCESSES).map(uniform).map(rank).collect()
}

fn percent(hits: usize, of: usize) -> f64 {
    100.0 * hits as f64 / of as f64
}

/// What no policy can exceed: the entry whose next use is farthest away goes.
fn optimum(trace: &[u32], capacity: usize) -> usize {
    let mut next = vec![0; trace.len()];
    let mut seen = HashMap::new();
    for (place, key) in trace.iter().enumerate().rev() {
        next[place] = seen.insert(*key, place).unwrap_or(trace.len() + place);
    }
    let (mut held, mut order) = (HashMap::new(), BTreeMap::new());
    let mut hits = 0;
    for (key, next) in trace.iter().zip(next) {
        if let Some(before) = held.insert(*key, next) {
            hits += 1;
            order.remove(&before);
        }
        order.insert(next, *key);
        if held.len() > capacity
            && let Some((_, farthest)) = order.pop_last()
        {
            held.remove(&farthest);
        }
    }
    hits
}

fn store<P: Policy>(bytes_max: usize) -> Arc<Memory<P>> {
    let first_version = Version(1);
    Arc::new(Memory::with_policy(MemoryOptions { bytes_max, value_bytes_max: 1024, first_version }))
}

fn access<P: Policy>(store: Arc<Memory<P>>) -> Access {
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
fn memory<P: Policy>(trace: &[u32], capacity: usize) -> Access {
    let (mut low, mut high) = (capacity * 100, capacity * 400 + 64 * 1024);
    for _ in 0..12 {
        let middle = (low + high) / 2;
        let probe = store::<P>(middle);
        let access = access(probe.clone());
        // A stretch that fills it is enough to see how many entries a budget holds.
        trace.iter().take(2_000_000).for_each(|key| _ = access(*key));
        if probe.stats().items as usize > capacity { high = middle } else { low = middle }
    }
    access(store::<P>(low))
}

fn quick(capacity: usize, shards: usize) -> Access {
    let options = quick_cache::OptionsBuilder::new()
        .estimated_items_capacity(capacity)
        .weight_capacity(capacity as u64)
        .shards(shards)
        .build()
        .expect("the options are complete");
    let cache: quick_cache::sync::Cache<[u8; 4], Arc<[u8]>> = quick_cache::sync::Cache::with_options(
        options,
        quick_cache::UnitWeighter,
        Default::default(),
        Default::default(),
    );
    Box::new(move |key| {
        let key = key.to_be_bytes();
        let hit = cache.get(&key).is_some_and(|value| value.len() == VALUE.len());
        if !hit {
            cache.insert(key, Arc::from(&VALUE[..]));
        }
        hit
    })
}

fn moka(capacity: usize) -> Access {
    let cache: moka::sync::Cache<[u8; 4], Arc<[u8]>> = moka::sync::Cache::new(capacity as u64);
    Box::new(move |key| {
        let key = key.to_be_bytes();
        let hit = cache.get(&key).is_some_and(|value| value.len() == VALUE.len());
        if !hit {
            cache.insert(key, Arc::from(&VALUE[..]));
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
