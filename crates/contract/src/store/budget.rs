//! The budget: kept to under every load, and spent on what is asked for.

use std::collections::HashMap;

use forebay_core::entry::{Condition, Lease, Mode, Written};
use forebay_core::limits::memory::BYTES_MIN;
use forebay_core::ports::local_store::LocalStore;

use super::ask::{Make, at, delete, get, set, set_if, set_until, value, write};

const BUDGET: usize = 8 * 1024 * 1024;

fn within(store: &dyn LocalStore) {
    let stats = store.stats();
    assert!(stats.bytes <= stats.bytes_max, "{} of {}", stats.bytes, stats.bytes_max);
    let classes = store.detail().classes;
    let items: u64 = classes.iter().map(|class| class.items).sum();
    assert!(classes.is_empty() || items == stats.items, "{items} of {} have a size", stats.items);
    let sized = classes.iter().all(|class| {
        (class.bytes_max / 2 * class.items..=class.bytes_max * class.items).contains(&class.bytes)
    });
    assert!(sized, "{classes:?}");
}

/// A small generator, so that the cases need no other crate and repeat exactly.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// By the store's own account, at every moment.
pub fn ten_times_the_budget_stays_within_it(make: Make<'_>) {
    let store = make(BUDGET);
    assert_eq!(store.stats().bytes_max, BUDGET as u64);
    let value = vec![0; 1_000];
    for number in 0..(10 * BUDGET / value.len()) as u32 {
        set(&*store, &number.to_be_bytes(), &value, at(0));
        if number % 512 == 0 {
            within(&*store);
        }
    }
    within(&*store);
    let stats = store.stats();
    assert!(stats.items as usize * value.len() > BUDGET * 3 / 4, "only {} entries are held", stats.items);
    assert!(stats.evicted + stats.items == stats.items_created);
}

/// From nothing to the largest.
pub fn values_of_all_sizes_stay_within_the_budget(make: Make<'_>) {
    let store = make(BUDGET);
    let mut random = Random(42);
    let bytes = vec![0; 1024 * 1024];
    for number in 0..20_000u32 {
        let length = match number % 100 {
            0 => random.below(1024 * 1024),
            1..20 => random.below(16 * 1024),
            _ => random.below(300),
        };
        set(&*store, &(number % 7_000).to_be_bytes(), &bytes[..length as usize], at(0));
        if number % 64 == 0 {
            within(&*store);
        }
    }
    within(&*store);
}

/// Room is made for what grows in place, too.
pub fn growing_values_stay_within_the_budget(make: Make<'_>) {
    let store = make(BUDGET);
    let part = vec![0; 8 * 1024];
    for round in 0..100 {
        for number in 0..100u32 {
            let key = number.to_be_bytes();
            if write(&*store, Mode::Append, &key, &part, at(round)) == Written::NotStored {
                set(&*store, &key, &part, at(round));
            }
        }
        within(&*store);
    }
    assert!(store.stats().evicted > 0);
}

/// What small entries needed beside their values is given back.
pub fn small_entries_make_way_for_large_ones(make: Make<'_>) {
    let store = make(BUDGET);
    for number in 0..200_000u32 {
        set(&*store, &number.to_be_bytes(), b"", at(0));
    }
    within(&*store);
    let large = vec![0; 100 * 1024];
    for number in 0..200u32 {
        set(&*store, &(number + 1_000_000).to_be_bytes(), &large, at(0));
        within(&*store);
    }
    let held =
        (0..200u32).filter(|number| get(&*store, &(number + 1_000_000).to_be_bytes(), at(0)).is_some());
    assert!(held.count() * large.len() > BUDGET * 3 / 5);
}

/// Under every kind of change at once: what is shown is what was written last, or nothing.
pub fn a_full_store_forgets_and_never_lies(make: Make<'_>) {
    const KEYS: u64 = 3_000;
    let store = make(BYTES_MIN);
    let mut random = Random(99);
    let mut written: HashMap<u64, Vec<u8>> = HashMap::new();
    let mut leases: Vec<(u64, Lease)> = Vec::new();
    let (mut hits, mut fills) = (0, 0);
    for step in 1..60_000u64 {
        let now = at(step / 10);
        let number = random.below(KEYS).min(random.below(KEYS));
        let key = number.to_be_bytes();
        let length = if random.below(20) == 0 { random.below(40_000) } else { random.below(1_500) } as usize;
        let mut bytes = step.to_be_bytes().repeat(length / 8 + 1);
        match random.below(12) {
            0..4 => {
                if let Some(seen) = get(&*store, &key, now) {
                    assert!(written.get(&number) == Some(&seen.value), "key {number} in step {step}");
                    hits += 1;
                }
            }
            4..7 => {
                set(&*store, &key, &bytes, now);
                written.insert(number, bytes);
            }
            7 => {
                set_until(&*store, &key, &bytes, now, at(step / 10 + random.below(50)));
                written.insert(number, bytes);
            }
            8 => {
                bytes.truncate(100);
                if let Written::Stored(_) = write(&*store, Mode::Append, &key, &bytes, now) {
                    written.entry(number).or_default().extend_from_slice(&bytes);
                }
            }
            9 => {
                delete(&*store, &key, now);
                written.remove(&number);
            }
            10 => leases.push((number, store.lease(&key))),
            _ => {
                let Some((number, lease)) = leases.pop() else { continue };
                let key = number.to_be_bytes();
                let filled = set_if(&*store, &key, &bytes, now, Condition::Lease(lease));
                if let Written::Stored(_) = filled {
                    written.insert(number, bytes);
                    fills += 1;
                }
            }
        }
        if step % 100 == 0 {
            within(&*store);
            store.sweep(now);
        }
    }
    let stats = store.stats();
    assert!(hits > 1_000 && fills > 100, "{hits} hits and {fills} fills");
    assert!(stats.evicted > 1_000 && stats.expired > 500, "{stats:?}");
}

/// A full store still takes everything up to its limits.
pub fn what_was_just_written_is_there(make: Make<'_>) {
    let store = make(BUDGET);
    let mut random = Random(7);
    let bytes = vec![0; 1024 * 1024];
    for number in 0..3_000u32 {
        let length = if number % 10 == 0 { random.below(1024 * 1024) } else { random.below(20_000) } as usize;
        let key = number.to_be_bytes();
        set(&*store, &key, &bytes[..length], at(0));
        assert_eq!(value(&*store, &key, at(0)).map(|value| value.len()), Some(length), "value {number}");
    }
    assert!(store.stats().evicted > 0);
}

/// A scan does not wash away what everybody reads.
pub fn what_is_read_often_outlives_what_is_not(make: Make<'_>) {
    let store = make(BUDGET);
    let value = vec![0; 1_000];
    let hot = 0..500u32;
    for number in hot.clone() {
        set(&*store, &number.to_be_bytes(), &value, at(0));
    }
    for scan in 0..60_000u32 {
        set(&*store, &(scan + 1_000_000).to_be_bytes(), &value, at(0));
        get(&*store, &(scan % 500).to_be_bytes(), at(0));
    }
    let kept = hot.filter(|number| get(&*store, &number.to_be_bytes(), at(0)).is_some()).count();
    assert!(kept > 450, "{kept} of 500 were kept");
}

/// With those never read apart.
pub fn evictions_are_counted(make: Make<'_>) {
    let store = make(BUDGET);
    let value = vec![0; 100_000];
    for number in 0..50u32 {
        set(&*store, &number.to_be_bytes(), &value, at(0));
        get(&*store, &number.to_be_bytes(), at(0));
    }
    for number in 50..1_000u32 {
        set(&*store, &number.to_be_bytes(), &value, at(0));
    }
    let stats = store.stats();
    assert_eq!(stats.evicted + stats.items, 1_000);
    assert!(stats.evicted_unread > 0 && stats.evicted_unread <= stats.evicted);
    assert!(stats.evicted_unread >= stats.evicted - 50);
}

/// Values that change their size, some often and some never, do not push each other out.
pub fn what_was_overwritten_takes_no_room(make: Make<'_>) {
    let store = make(BYTES_MIN);
    let mut random = Random(3);
    let value = vec![0; 900];
    for step in 0..100_000u64 {
        let number = if step < 1_000 { step } else { random.below(1_000) * random.below(1_000) / 1_000 };
        set(&*store, &number.to_be_bytes(), &value[..random.below(900) as usize], at(0));
    }
    let stats = store.stats();
    assert_eq!((stats.items, stats.evicted), (1_000, 0));
}

/// An empty store is small again.
pub fn bytes_return_when_entries_go(make: Make<'_>) {
    let store = make(BUDGET);
    let empty = store.stats().bytes;
    for number in 0..20_000u32 {
        set(&*store, &number.to_be_bytes(), b"value", at(0));
    }
    let full = store.stats().bytes;
    for number in 0..20_000u32 {
        delete(&*store, &number.to_be_bytes(), at(0));
    }
    let stats = store.stats();
    assert_eq!(stats.items, 0);
    assert!((stats.bytes - empty) * 20 < full - empty, "{} of {full}", stats.bytes);
}
