//! A hit in the library beside other in-process caches: 2 threads, a million keys asked for by a zipf law of 0.99, all of
//! them there. `cargo run --release --bin library [ROUNDS [PART]]`: only the rows whose name holds PART. Markdown on stdout, a plot into
//! `report/library.svg`.
//!
//! Caches take turns; every figure is the median of the rounds, with the least and the greatest beside it. CPU is the
//! process's processor time for an access. Every access looks at the value's length.

use std::error::Error;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Instant;

use cached::Cached;
use forebay::{Cache, Forebay, Payload};
use forebay_benches::plot::{Bar, bars};
use forebay_benches::trace::zipf;
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

const KEYS: usize = 1_000_000;
const ACCESSES: usize = 4_000_000;
const THREADS: usize = 2;
const ROUNDS: usize = 5;
const VALUE: [u8; 100] = [7; 100];
/// The one that the others are compared with.
const REFERENCE: &str = "quick_cache, get";

/// Says whether the key was there with its whole value.
type Access = Box<dyn Fn(u32) -> bool + Sync>;

struct Row {
    name: &'static str,
    access: Access,
    rates: Vec<f64>,
    cpu: Vec<f64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let rounds = std::env::args().nth(1).map_or(Ok(ROUNDS), |rounds| rounds.parse())?;
    let trace = zipf(KEYS, 0.99, ACCESSES);
    let keys: Vec<u32> = (0..KEYS as u32).map(|rank| rank.wrapping_mul(0x9e37_79b1)).collect();
    let runtime = tokio::runtime::Runtime::new()?;
    let folder = tempfile::tempdir()?;
    let forebay = runtime.block_on(Forebay::builder().memory(512 << 20).data(folder.path()).open())?;
    let mut rows: Vec<Row> = [
        ("Forebay, read", read(forebay.cache(), &keys)?),
        ("Forebay, get", get(forebay.cache())),
        ("Forebay, get_or_load", get_or_load(forebay.cache())),
        (REFERENCE, quick(&keys)),
        ("moka, get", moka(&keys)),
        ("foyer, get", foyer(&keys)),
        ("cached, mutex and LRU", lru(&keys)),
    ]
    .map(|(name, access)| Row { name, access, rates: Vec::new(), cpu: Vec::new() })
    .into();
    let part = std::env::args().nth(2).unwrap_or_default();
    rows.retain(|row| row.name.contains(&part));
    for row in &rows {
        assert!(keys.iter().all(|key| (row.access)(*key)), "{}: every key is there", row.name);
    }
    for _ in 0..rounds {
        for row in &mut rows {
            let (rate, cpu) = round(&row.access, &trace);
            row.rates.push(rate);
            row.cpu.push(cpu);
        }
    }
    report(&mut rows)?;
    runtime.block_on(forebay.close());
    Ok(())
}

/// Million accesses a second, and nanoseconds of processor time for one. Every thread begins at a place of its own.
fn round(access: &Access, trace: &[u32]) -> (f64, f64) {
    let (wall, cpu) = (Instant::now(), cpu_ns());
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (front, back) = trace.split_at(trace.len() * thread / THREADS);
            scope.spawn(move || assert!(back.iter().chain(front).all(|key| access(*key))));
        }
    });
    let accesses = (trace.len() * THREADS) as f64;
    (accesses / wall.elapsed().as_secs_f64() / 1e6, (cpu_ns() - cpu) as f64 / accesses)
}

fn report(rows: &mut [Row]) -> Result<(), Box<dyn Error>> {
    for row in &mut *rows {
        row.rates.sort_unstable_by(f64::total_cmp);
        row.cpu.sort_unstable_by(f64::total_cmp);
    }
    let of = |name: &str| rows.iter().find(|row| row.name == name).map_or(f64::NAN, |row| middle(&row.rates));
    let reference = of(REFERENCE);
    println!("Hits, {THREADS} threads, zipf 0.99 over {KEYS} keys, {} B values\n", VALUE.len());
    println!("| cache | M/s | × | range | CPU ns/access |\n| --- | ---: | ---: | --- | ---: |");
    for row in &*rows {
        let rate = middle(&row.rates);
        let (low, high) = (row.rates[0], row.rates[row.rates.len() - 1]);
        println!(
            "| {} | {rate:.2} | {:.2} | {low:.2}–{high:.2} | {:.0} |",
            row.name,
            rate / reference,
            middle(&row.cpu)
        );
    }
    let plotted: Vec<_> = rows
        .iter()
        .map(|row| Bar {
            name: row.name.into(),
            value: middle(&row.rates),
            range: Some((row.rates[0], row.rates[row.rates.len() - 1])),
        })
        .collect();
    bars(
        Path::new("report/library.svg"),
        "A hit in process, 2 threads",
        "million accesses a second",
        &plotted,
    )
}

fn middle(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

fn read(cache: Cache, keys: &[u32]) -> Result<Access, Box<dyn Error>> {
    for key in keys {
        cache.set(key.to_be_bytes(), VALUE)?;
    }
    Ok(Box::new(move |key| cache.read(key.to_be_bytes(), |value| value.len()) == Some(VALUE.len())))
}

fn get(cache: Cache) -> Access {
    Box::new(move |key| cache.get(key.to_be_bytes()).is_some_and(|value| value.len() == VALUE.len()))
}

fn get_or_load(cache: Cache) -> Access {
    let never = |_key: Vec<u8>| async { Ok::<Option<Payload>, forebay::Error>(None) };
    Box::new(move |key| {
        // A hit is ready when it is first polled.
        let polled = pin!(cache.get_or_load(key.to_be_bytes(), None, &never))
            .poll(&mut Context::from_waker(Waker::noop()));
        matches!(polled, Poll::Ready(Ok(Some(value))) if value.len() == VALUE.len())
    })
}

fn quick(keys: &[u32]) -> Access {
    let cache: quick_cache::sync::Cache<Box<[u8]>, Arc<[u8]>> = quick_cache::sync::Cache::new(KEYS * 5 / 4);
    keys.iter().for_each(|key| cache.insert(Box::new(key.to_be_bytes()), Arc::new(VALUE)));
    Box::new(move |key| cache.get(&key.to_be_bytes()[..]).is_some_and(|value| value.len() == VALUE.len()))
}

fn moka(keys: &[u32]) -> Access {
    let cache: moka::sync::Cache<Box<[u8]>, Arc<[u8]>> = moka::sync::Cache::new(KEYS as u64 * 5 / 4);
    keys.iter().for_each(|key| cache.insert(Box::new(key.to_be_bytes()), Arc::new(VALUE)));
    cache.run_pending_tasks();
    Box::new(move |key| cache.get(&key.to_be_bytes()[..]).is_some_and(|value| value.len() == VALUE.len()))
}

fn foyer(keys: &[u32]) -> Access {
    let cache: foyer_memory::Cache<Box<[u8]>, Arc<[u8]>> =
        foyer_memory::CacheBuilder::new(KEYS * 5 / 4).build();
    keys.iter().for_each(|key| drop(cache.insert(Box::new(key.to_be_bytes()), Arc::new(VALUE))));
    Box::new(move |key| {
        cache.get(&key.to_be_bytes()[..]).is_some_and(|entry| entry.value().len() == VALUE.len())
    })
}

fn lru(keys: &[u32]) -> Access {
    let mut cache: cached::LruCache<Box<[u8]>, Arc<[u8]>> = cached::LruCache::new(KEYS * 5 / 4);
    keys.iter().for_each(|key| drop(cache.cache_set(Box::new(key.to_be_bytes()), Arc::new(VALUE))));
    let cache = Mutex::new(cache);
    Box::new(move |key| {
        let value = cache.lock().cache_get(&key.to_be_bytes()[..]).cloned();
        value.is_some_and(|value| value.len() == VALUE.len())
    })
}

fn cpu_ns() -> i128 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}
