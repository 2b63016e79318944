//! The read path over a store that forgets and refuses, and a source that is slow, fails, panics or never comes back: no older
//! value after an invalidation, and nobody left waiting.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use forebay_cache::{Cache, CacheOptions};
use forebay_contract::clock::SimClock;
use forebay_contract::random::Random;
use forebay_contract::saboteur::loader::{LOAD_MAX, LoaderSaboteur};
use forebay_contract::saboteur::store::StoreSaboteur;
use forebay_contract::torture::rounds;
use forebay_core::entry::Version;
use forebay_core::error::Result;
use forebay_core::limits::VALUE_BYTES_MAX_DEFAULT;
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::loader::Loader;
use forebay_memory::{Memory, MemoryOptions};

const SEEDS: u64 = 300;
const STEPS: usize = 200;
const CALLS_MAX: usize = 8;

/// A source that counts its changes, and shows the count.
struct Source(AtomicU64);

impl Loader for Source {
    fn load<'a>(&'a self, _: &'a [u8]) -> BoxFuture<'a, Result<Option<Payload>>> {
        let number = self.0.load(SeqCst);
        Box::pin(async move { Ok(Some(number.to_be_bytes().to_vec().into())) })
    }
}

/// A caller under way, and what the source showed at its latest invalidation before it began.
struct Call<'a> {
    future: BoxFuture<'a, Result<Option<Payload>>>,
    newest: u64,
}

/// What a call came to; `None` while it waits.
fn poll(call: &mut Call<'_>) -> Option<std::thread::Result<Result<Option<Payload>>>> {
    let mut context = Context::from_waker(Waker::noop());
    let polled = catch_unwind(AssertUnwindSafe(|| call.future.as_mut().poll(&mut context)));
    match polled {
        Ok(Poll::Pending) => None,
        Ok(Poll::Ready(result)) => Some(Ok(result)),
        Err(panic) => Some(Err(panic)),
    }
}

fn number(value: &[u8]) -> u64 {
    u64::from_be_bytes(value.try_into().unwrap())
}

#[test]
fn no_older_value_after_an_invalidation_and_nobody_left_waiting() {
    let (mut served, mut failed, mut panicked) = (0, 0, 0);
    for seed in 0..rounds(SEEDS) {
        let clock = SimClock::new(seed);
        let shared = Arc::new(clock.clone());
        let options = MemoryOptions {
            bytes_max: 16 * 1024 * 1024,
            value_bytes_max: VALUE_BYTES_MAX_DEFAULT,
            first_version: Version(1),
        };
        let store = Arc::new(StoreSaboteur::new(Arc::new(Memory::new(options)), seed));
        let cache = Cache::new(store, shared.clone(), CacheOptions::default()).unwrap();
        let source = Arc::new(Source(AtomicU64::new(0)));
        let hangs = seed % 2 == 0;
        let loader = match hangs {
            true => LoaderSaboteur::that_hangs(source.clone(), shared, seed),
            false => LoaderSaboteur::new(source.clone(), shared, seed),
        };
        let mut random = Random::new(seed);
        let mut calls: Vec<Call<'_>> = Vec::new();
        let mut newest = 0;
        for _ in 0..STEPS {
            match random.below(8) {
                0 => {
                    newest = source.0.fetch_add(1, SeqCst) + 1;
                    cache.invalidate(b"key").unwrap();
                }
                1 => clock.advance(Duration::from_millis(random.below(3_000))),
                2 if !calls.is_empty() => {
                    let gone = random.below(calls.len() as u64) as usize;
                    drop(calls.swap_remove(gone));
                }
                3 => {
                    if let Some(value) = cache.get(b"key") {
                        assert!(number(&value) >= newest, "seed {seed}: an older value was shown");
                    }
                }
                4..=5 if calls.len() < CALLS_MAX => {
                    let future = Box::pin(cache.get_or_load(b"key", None, &loader));
                    calls.push(Call { future, newest });
                }
                _ => {}
            }
            calls.retain_mut(|call| match poll(call) {
                None => true,
                Some(Ok(Ok(value))) => {
                    let value = number(&value.unwrap());
                    assert!(value >= call.newest, "seed {seed}: {value} after {}", call.newest);
                    served += 1;
                    false
                }
                Some(Ok(Err(_))) => {
                    failed += 1;
                    false
                }
                Some(Err(_)) => {
                    panicked += 1;
                    false
                }
            });
        }
        // Each of those who are left may have to lead once, one after the other.
        for _ in 0..2 * CALLS_MAX {
            clock.advance(LOAD_MAX);
            calls.retain_mut(|call| poll(call).is_none());
        }
        assert!(hangs || calls.is_empty(), "seed {seed}: {} wait for ever", calls.len());
    }
    assert!(served > 0 && failed > 0 && panicked > 0, "{served} {failed} {panicked}");
}
