//! Counters, locks and rate limits over a real store.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scene;

use std::thread;
use std::time::Duration;

use forebay_cache::atomic::{Counter, Locks, RateLimit, RateLimiter, Sessions, Verdict};
use forebay_contract::clock::SimClock;
use forebay_core::error::Kind;
use forebay_core::limits;
use forebay_core::ports::clock::Clock;
use proptest::prelude::*;
use scene::Scene;

const SECOND: Duration = Duration::from_secs(1);
const BIT: Duration = Duration::from_millis(1);

#[test]
fn a_counter_loses_no_change_of_many_at_once() {
    let scene = Scene::new();
    let counter = Counter::new(scene.cache.clone(), b"visits", None).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..1_000).for_each(|_| assert!(counter.add(3).unwrap() >= 3)));
        }
    });
    assert_eq!(counter.get().unwrap(), 12_000);
    assert_eq!(counter.subtract(11_995).unwrap(), 5);
    assert_eq!(counter.get().unwrap(), 5, "also when its text became shorter");
    assert_eq!(counter.subtract(9).unwrap(), 0);
    counter.add(1).unwrap();
    counter.reset().unwrap();
    assert_eq!(counter.get().unwrap(), 0);
}

#[test]
fn a_counter_lives_from_its_first_change_on_and_begins_again() {
    let scene = Scene::new();
    let counter = Counter::new(scene.cache.clone(), b"visits", Some(SECOND)).unwrap();
    assert_eq!(counter.add(2).unwrap(), 2);
    scene.clock.advance(SECOND - BIT);
    assert_eq!(counter.add(2).unwrap(), 4);
    scene.clock.advance(BIT);
    assert_eq!((counter.get().unwrap(), counter.subtract(1).unwrap()), (0, 0));
}

#[test]
fn what_is_no_number_is_not_counted() {
    let scene = Scene::new();
    scene.cache.set(b"key", b"text", None).unwrap();
    let counter = Counter::new(scene.cache.clone(), b"key", None).unwrap();
    for refused in [counter.add(1), counter.subtract(1), counter.get()] {
        assert_eq!(refused.unwrap_err().kind(), Kind::Conflict);
    }
    assert_eq!(scene.cache.get(b"key").as_deref(), Some(&b"text"[..]));
}

#[test]
fn a_lock_has_one_holder_until_it_is_given_back_or_its_lease_is_over() {
    let scene = Scene::new();
    let locks = Locks::new(scene.cache.clone());
    let lock = locks.try_lock("a", SECOND).unwrap().unwrap();
    assert_eq!(lock.until(), scene.clock.now() + SECOND);
    assert!(locks.try_lock("a", SECOND).unwrap().is_none());
    assert!(locks.try_lock("b", SECOND).unwrap().is_some(), "another lock");
    assert!(lock.release());
    let lock = locks.try_lock("a", SECOND).unwrap().unwrap();
    scene.clock.advance(SECOND - BIT);
    assert!(locks.try_lock("a", SECOND).unwrap().is_none());
    scene.clock.advance(BIT);
    let next = locks.try_lock("a", SECOND).unwrap().expect("the lease is over");
    assert!(!lock.release(), "it was no longer its holder's");
    assert!(locks.try_lock("a", SECOND).unwrap().is_none(), "and the next one's stands");
    drop(next);
    assert!(locks.try_lock("a", SECOND).unwrap().is_some(), "a dropped lock is given back");
}

#[test]
fn every_grant_has_a_greater_token_whatever_became_of_those_before_it_and_over_a_restart() {
    let scene = Scene::new();
    let locks = Locks::new(scene.cache.clone());
    let mut tokens = Vec::new();
    let mut lock = locks.try_lock("a", SECOND).unwrap().unwrap();
    tokens.push(lock.token());
    assert!(lock.renew(SECOND).unwrap());
    assert_eq!(lock.token(), tokens[0], "a renewal is no grant");
    scene.clock.advance(SECOND);
    let lock = locks.try_lock("a", SECOND).unwrap().unwrap();
    tokens.push(lock.token());
    assert!(lock.release());
    let lock = locks.try_lock("a", SECOND).unwrap().unwrap();
    tokens.push(lock.token());
    // The store forgets the lock under its holder.
    for number in 0..200_u32 {
        scene.cache.set(&number.to_le_bytes(), &vec![0; 64 * 1024], None).unwrap();
    }
    let second = locks.try_lock("a", SECOND).unwrap().expect("a lock is an entry like others");
    tokens.push(second.token());
    assert!(!lock.release(), "the first holder is told");
    let after = SimClock::new(7);
    after.advance(SECOND);
    let locks = Locks::new(Scene::starting_with(after).cache);
    tokens.push(locks.try_lock("a", SECOND).unwrap().unwrap().token());
    assert!(tokens.is_sorted_by(|earlier, later| earlier < later), "{tokens:?}");
}

#[test]
fn a_renewed_lease_runs_from_then_on_and_a_lost_one_is_not_renewed() {
    let scene = Scene::new();
    let locks = Locks::new(scene.cache.clone());
    let mut lock = locks.try_lock("a", SECOND).unwrap().unwrap();
    scene.clock.advance(SECOND - BIT);
    assert!(lock.renew(SECOND).unwrap());
    assert_eq!(lock.until(), scene.clock.now() + SECOND);
    scene.clock.advance(SECOND - BIT);
    assert!(locks.try_lock("a", SECOND).unwrap().is_none());
    scene.clock.advance(BIT);
    assert!(!lock.renew(SECOND).unwrap());
    let _next = locks.try_lock("a", SECOND).unwrap().unwrap();
    assert!(!lock.renew(SECOND).unwrap());
}

#[test]
fn of_many_who_try_a_lock_at_once_one_has_it() {
    let scene = Scene::new();
    let locks = Locks::new(scene.cache.clone());
    for round in 0..100_u32 {
        let granted: Vec<_> = thread::scope(|scope| {
            let tries: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| locks.try_lock(round.to_le_bytes(), SECOND).unwrap()))
                .collect();
            tries.into_iter().filter_map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(granted.len(), 1);
    }
}

#[test]
fn names_and_leases_of_locks_have_their_limits() {
    let scene = Scene::new();
    let locks = Locks::new(scene.cache.clone());
    assert!(locks.try_lock("n".repeat(244), limits::cache::LOCK_LEASE_MAX).unwrap().is_some());
    assert_eq!(locks.try_lock("n".repeat(245), SECOND).unwrap_err().kind(), Kind::TooLarge);
    for (name, lease) in [("", SECOND), ("n", Duration::ZERO), ("n", limits::cache::LOCK_LEASE_MAX + BIT)] {
        assert_eq!(locks.try_lock(name, lease).unwrap_err().kind(), Kind::Invalid);
    }
}

fn limiter(scene: &Scene, limit: u64) -> RateLimiter {
    RateLimiter::new(scene.cache.clone(), RateLimit { limit, window: SECOND }).unwrap()
}

#[test]
fn no_more_is_allowed_than_the_limit_and_every_name_has_its_own() {
    let scene = Scene::new();
    let limiter = limiter(&scene, 3);
    for remaining in [2, 1, 0] {
        let verdict = limiter.take("ada").unwrap();
        assert_eq!(verdict, Verdict { allowed: true, remaining, retry_after: Duration::ZERO });
    }
    let refused = limiter.take("ada").unwrap();
    assert!(!refused.allowed && refused.remaining == 0 && refused.retry_after > SECOND);
    assert!(limiter.take("bob").unwrap().allowed);
    scene.clock.advance(refused.retry_after - BIT);
    assert!(!limiter.take("ada").unwrap().allowed);
    scene.clock.advance(BIT);
    assert!(limiter.take("ada").unwrap().allowed, "as was told");
}

#[test]
fn what_costs_more_is_counted_whole_or_not_at_all() {
    let scene = Scene::new();
    let limiter = limiter(&scene, 10);
    assert_eq!(limiter.take_many("ada", 8).unwrap().remaining, 2);
    assert_eq!(limiter.take_many("ada", 3).unwrap().remaining, 2, "refused, and not counted");
    assert_eq!(limiter.take_many("ada", 2).unwrap().remaining, 0);
    assert_eq!(limiter.take_many("ada", 11).unwrap_err().kind(), Kind::Invalid);
}

#[test]
fn a_rush_from_many_threads_gets_no_more_than_the_limit() {
    let scene = Scene::new();
    let limiter = limiter(&scene, 500);
    let allowed: usize = thread::scope(|scope| {
        let rush = || (0..1_000).filter(|_| limiter.take("ada").unwrap().allowed).count();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(rush)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!((1..=500).contains(&allowed), "{allowed}");
}

proptest! {
    #[test]
    fn every_verdict_is_what_the_formula_says(
        waits in prop::collection::vec(0_u64..400, 1..100),
    ) {
        let scene = Scene::new();
        let limiter = limiter(&scene, 5);
        let mut model: Vec<u64> = Vec::new();
        for wait in waits {
            scene.clock.advance(Duration::from_millis(wait));
            let now = scene.clock.now().as_ms();
            let in_window = |number: u64| model.iter().filter(|at| **at / 1_000 == number).count() as u64;
            let (number, elapsed) = (now / 1_000, now % 1_000);
            let counted = (in_window(number - 1) * (1_000 - elapsed)).div_ceil(1_000) + in_window(number);
            let verdict = limiter.take("ada").unwrap();
            prop_assert_eq!(verdict.allowed, counted < 5);
            if verdict.allowed {
                model.push(now);
            }
        }
    }
}

#[test]
fn rates_have_their_limits() {
    let scene = Scene::new();
    let new = |limit, window| RateLimiter::new(scene.cache.clone(), RateLimit { limit, window }).map(drop);
    let (limit, window) = (limits::cache::RATE_LIMIT_MAX, limits::cache::RATE_WINDOW_MAX);
    assert!(new(limit, window).is_ok());
    for wrong in
        [new(0, window), new(limit + 1, window), new(limit, Duration::ZERO), new(limit, window + BIT)]
    {
        assert_eq!(wrong.unwrap_err().kind(), Kind::Invalid);
    }
    let widest = RateLimiter::new(scene.cache.clone(), RateLimit { limit, window }).unwrap();
    assert!(widest.take("n".repeat(200)).unwrap().allowed);
    assert_eq!(widest.take("n".repeat(250)).unwrap_err().kind(), Kind::TooLarge);
    assert_eq!(widest.take("").unwrap_err().kind(), Kind::Invalid);
}

#[test]
fn a_session_ends_when_nobody_has_looked_at_it_for_its_idle_time() {
    let scene = Scene::new();
    let sessions = Sessions::new(scene.cache.clone(), SECOND).unwrap();
    sessions.put(b"id", b"value").unwrap();
    for _ in 0..3 {
        scene.clock.advance(SECOND - BIT);
        assert_eq!(sessions.get(b"id").as_deref(), Some(&b"value"[..]));
    }
    scene.clock.advance(SECOND - BIT);
    assert!(sessions.change(b"id", |_| Ok("changed".into())).unwrap(), "a change is a look");
    scene.clock.advance(SECOND - BIT);
    assert_eq!(sessions.get(b"id").as_deref(), Some(&b"changed"[..]));
    scene.clock.advance(SECOND);
    assert!(sessions.get(b"id").is_none());
    assert!(!sessions.change(b"id", |_| Ok("again".into())).unwrap());
    assert!(sessions.get(b"id").is_none(), "a change begins none");
    sessions.put(b"id", b"value").unwrap();
    sessions.end(b"id").unwrap();
    assert!(sessions.get(b"id").is_none());
}

#[test]
fn no_change_of_a_session_is_lost_and_endless_haste_is_refused() {
    let scene = Scene::new();
    let sessions = Sessions::new(scene.cache.clone(), SECOND).unwrap();
    sessions.put(b"id", b"").unwrap();
    let longer = |value: forebay_core::payload::Payload| Ok([&*value, b"x"].concat().into());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..200).for_each(|_| assert!(sessions.change(b"id", longer).unwrap())));
        }
    });
    assert_eq!(sessions.get(b"id").map(|value| value.len()), Some(800));
    let mut tries = 0;
    let refused = sessions.change(b"id", |value| {
        tries += 1;
        sessions.put(b"id", b"faster").unwrap();
        Ok(value)
    });
    assert_eq!((refused.unwrap_err().kind(), tries), (Kind::Full, limits::cache::CHANGE_TRIES_MAX));
}

#[test]
fn ids_and_idle_times_of_sessions_have_their_limits() {
    let scene = Scene::new();
    assert!(Sessions::new(scene.cache.clone(), Duration::ZERO).is_err());
    let sessions = Sessions::new(scene.cache.clone(), BIT).unwrap();
    assert!(sessions.put(&[b'i'; 241], b"value").is_ok());
    assert_eq!(sessions.put(&[b'i'; 242], b"value").unwrap_err().kind(), Kind::TooLarge);
    assert_eq!(sessions.put(b"", b"value").unwrap_err().kind(), Kind::Invalid);
    assert_eq!(sessions.put(b"id", &vec![0; 2 << 20]).unwrap_err().kind(), Kind::TooLarge);
}
