//! What one caller sees: hits, loads, ends of life, errors.

mod support;

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use forebay_cache::{Cache, CacheOptions};
use forebay_core::error::{Error, Kind, Retry};
use forebay_core::ports::loader::Loader;
use support::{Source, TestClock, block_on, cache, store};

const TTL: Option<Duration> = Some(Duration::from_secs(10));

#[test]
fn a_miss_loads_and_the_next_read_hits() {
    let (cache, source) = (cache(), Source::default());
    source.put("value");
    assert_eq!(cache.get(b"key"), None);
    for _ in 0..3 {
        let value = block_on(cache.get_or_load(b"key", TTL, &source)).unwrap().unwrap();
        assert_eq!(&*value, b"value");
    }
    assert_eq!(source.loads.load(SeqCst), 1);
    assert_eq!(cache.get(b"key").as_deref(), Some(&b"value"[..]));
    assert_eq!(cache.get_with(b"key", |value| value.len()), Some(5));
    assert_eq!(source.keys.lock().as_slice(), [b"key"]);
}

#[test]
fn what_the_source_does_not_have_is_not_stored() {
    let (cache, source) = (cache(), Source::default());
    for loads in 1..3 {
        assert_eq!(block_on(cache.get_or_load(b"key", TTL, &source)).unwrap(), None);
        assert_eq!(source.loads.load(SeqCst), loads);
    }
}

#[test]
fn a_value_is_loaded_again_after_its_time_to_live() {
    let clock = TestClock::shared();
    let cache = Cache::new(store(), clock.clone(), CacheOptions { jitter: 0.0 }).unwrap();
    let source = Source::default();
    source.put("value");
    for (after_ms, loads) in [(0, 1), (9_999, 1), (1, 2), (9_999, 2), (1, 3)] {
        clock.advance(after_ms);
        block_on(cache.get_or_load(b"key", TTL, &source)).unwrap();
        assert_eq!(source.loads.load(SeqCst), loads, "after {after_ms} ms more");
    }
    cache.set(b"key", b"for ever", None).unwrap();
    clock.advance(u64::MAX / 4);
    assert_eq!(cache.get(b"key").as_deref(), Some(&b"for ever"[..]));
}

#[test]
fn values_loaded_together_do_not_end_together() {
    let clock = TestClock::shared();
    let cache = Cache::new(store(), clock.clone(), CacheOptions { jitter: 0.5 }).unwrap();
    for number in 0..100u32 {
        cache.set(&number.to_be_bytes(), b"value", TTL).unwrap();
    }
    let present = || (0..100u32).filter(|number| cache.get(&number.to_be_bytes()).is_some()).count();
    clock.advance(4_999);
    assert_eq!(present(), 100);
    clock.advance(2_500);
    assert!((20..80).contains(&present()), "{} are left half-way", present());
    clock.advance(2_501);
    assert_eq!(present(), 0);
}

#[test]
fn an_invalidated_value_is_loaded_again() {
    let (cache, source) = (cache(), Source::default());
    source.put("older");
    block_on(cache.get_or_load(b"key", None, &source)).unwrap();
    source.put("newer");
    cache.invalidate(b"key").unwrap();
    assert_eq!(cache.get(b"key"), None);
    let value = block_on(cache.get_or_load(b"key", None, &source)).unwrap().unwrap();
    assert_eq!(&*value, b"newer");
}

#[test]
fn a_failed_load_says_why_and_the_next_one_tries_again() {
    let cache = cache();
    let failing = |_| async { Err(Error::new(Kind::Unavailable, "query product", "1")) };
    let error = block_on(cache.get_or_load(b"product:1\n", TTL, &failing as &dyn Loader)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(error.retry(), Retry::Later);
    assert_eq!(error.to_string(), "load key product:1\\n: unavailable (query product 1: unavailable)");
    let source = Source::default();
    source.put("value");
    let value = block_on(cache.get_or_load(b"product:1\n", TTL, &source)).unwrap().unwrap();
    assert_eq!(&*value, b"value");
}

#[test]
fn a_value_too_large_to_store_is_served() {
    let (cache, source) = (cache(), Source::default());
    source.put(&"x".repeat(2 * 1024 * 1024));
    for loads in 1..3 {
        let value = block_on(cache.get_or_load(b"key", TTL, &source)).unwrap().unwrap();
        assert_eq!(value.len(), 2 * 1024 * 1024);
        assert_eq!(source.loads.load(SeqCst), loads);
    }
    cache.set(b"key", b"older", None).unwrap();
    let error = cache.set(b"key", &vec![0; 2 * 1024 * 1024], None).unwrap_err();
    assert_eq!(error.kind(), Kind::TooLarge);
    assert_eq!(cache.get(b"key"), None);
}

#[test]
fn keys_and_options_out_of_range_are_refused() {
    let (cache, source) = (cache(), Source::default());
    for (key, kind) in [(&b""[..], Kind::Invalid), (&[b'k'; 251], Kind::TooLarge)] {
        assert_eq!(cache.get(key), None);
        assert_eq!(cache.set(key, b"value", None).unwrap_err().kind(), kind);
        assert_eq!(cache.invalidate(key).unwrap_err().kind(), kind);
        assert_eq!(block_on(cache.get_or_load(key, None, &source)).unwrap_err().kind(), kind);
    }
    cache.set(&[b'k'; 250], b"value", None).unwrap();
    assert_eq!(source.loads.load(SeqCst), 0);
    for jitter in [-0.1, 1.1, f64::NAN] {
        assert!(Cache::new(store(), TestClock::shared(), CacheOptions { jitter }).is_err());
    }
}
