//! Promises that hold from many threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;

use forebay_core::entry::{Claim, Condition, Mode, Written};

use super::ask::{Make, ROOMY, at, delete, get, get_or_lease, number, set, set_if, up, write};

const THREADS: usize = 4;
const ROUNDS: u64 = 2_000;

/// Every step is in the sum, and no two threads see the same number.
pub fn counters_lose_no_increment(make: Make<'_>) {
    let store = make(ROOMY);
    set(&*store, b"key", b"0", at(0));
    let sum_seen = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    sum_seen.fetch_add(number(up(&*store, b"key", 1, at(0))), SeqCst);
                }
            });
        }
    });
    let last = THREADS as u64 * ROUNDS;
    assert_eq!(number(up(&*store, b"key", 0, at(0))), last);
    assert_eq!(sum_seen.into_inner(), last * (last + 1) / 2);
}

/// Of all who add one key, one stores.
pub fn an_add_has_one_winner(make: Make<'_>) {
    let store = make(ROOMY);
    let winners = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    if let Written::Stored(_) = write(&*store, Mode::Add, &round.to_be_bytes(), b"x", at(0)) {
                        winners.fetch_add(1, SeqCst);
                    }
                }
            });
        }
    });
    assert_eq!(winners.into_inner(), ROUNDS);
}

/// Compare-and-set loops lose no step.
pub fn a_version_has_one_winner(make: Make<'_>) {
    let store = make(ROOMY);
    set(&*store, b"key", &0u64.to_be_bytes(), at(0));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut done = 0;
                while done < ROUNDS {
                    let seen = get(&*store, b"key", at(0)).unwrap();
                    let next = u64::from_be_bytes(seen.value.try_into().unwrap()) + 1;
                    let condition = Condition::Version(seen.version);
                    if let Written::Stored(_) = set_if(&*store, b"key", &next.to_be_bytes(), at(0), condition)
                    {
                        done += 1;
                    }
                }
            });
        }
    });
    let last = get(&*store, b"key", at(0)).unwrap().value;
    assert_eq!(u64::from_be_bytes(last.try_into().unwrap()), THREADS as u64 * ROUNDS);
}

/// One reader in all loads.
pub fn a_placeholder_has_one_winner(make: Make<'_>) {
    let store = make(ROOMY);
    let winners = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    let seen = get_or_lease(&*store, &round.to_be_bytes(), at(0), None);
                    winners.fetch_add(u64::from(seen.claim == Claim::Won), SeqCst);
                }
            });
        }
    });
    assert_eq!(winners.into_inner(), ROUNDS);
}

/// Loaders read a source that changes under them; after each change and its invalidation nobody is shown what the source
/// held before, however the loaders' fills come in.
pub fn a_fill_never_overwrites_a_newer_invalidation(make: Make<'_>) {
    let store = make(ROOMY);
    let source = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 1..THREADS {
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    if get(&*store, b"key", at(0)).is_none() {
                        let lease = store.lease(b"key");
                        let loaded = source.load(SeqCst);
                        thread::yield_now();
                        set_if(&*store, b"key", &loaded.to_be_bytes(), at(0), Condition::Lease(lease));
                    }
                }
            });
        }
        // As many rounds as it takes for fills to get between the changes, whatever else the machine does.
        let (mut change, mut filled) = (0, 0);
        while change < ROUNDS || filled < ROUNDS / 4 {
            change += 1;
            source.store(change, SeqCst);
            delete(&*store, b"key", at(0));
            for _ in 0..8 {
                if let Some(seen) = get(&*store, b"key", at(0)) {
                    let shown = u64::from_be_bytes(seen.value.try_into().unwrap());
                    if shown < change {
                        over.store(true, SeqCst);
                        panic!("{shown} was shown after the invalidation for {change}");
                    }
                    filled += 1;
                }
                thread::yield_now();
            }
        }
        over.store(true, SeqCst);
    });
}

/// Never half of one write and half of another.
pub fn readers_see_whole_values(make: Make<'_>) {
    let store = make(ROOMY);
    let whole = |byte: u8| vec![byte; 100 + usize::from(byte)];
    set(&*store, b"key", &whole(0), at(0));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    if thread % 2 == 0 {
                        set(&**store, b"key", &whole(round as u8), at(0));
                    } else {
                        let seen = get(&**store, b"key", at(0)).unwrap().value;
                        assert!(seen == whole(seen[0]));
                    }
                }
            });
        }
    });
}
