//! The promises: from whatever threads, a store answers as if the calls on a key came one after the other.

use super::record::Plan;
use super::search::{Memory, check};
use crate::store::ask::{Make, ROOMY};
use crate::torture::rounds;

const HISTORIES: u64 = 500;
const PLAN: Plan = Plan { seed: 0, threads: 4, calls: 150, keys: 3, crowd: 0 };

/// With more room than it needs, no entry is forgotten and no answer is out of order.
pub fn concurrent_histories_have_an_order_that_explains_every_answer(make: Make<'_>) {
    for seed in 0..rounds(HISTORIES) {
        check(&*make(ROOMY), Plan { seed, ..PLAN }, Memory::Keeps);
    }
}

/// Pressed for room it forgets, and what was forgotten, overwritten or invalidated never comes back.
pub fn concurrent_histories_with_evictions_forget_and_never_go_back(make: Make<'_>) {
    let mut evicted = 0;
    for seed in 0..rounds(HISTORIES / 25) {
        let store = make(1024 * 1024);
        check(&*store, Plan { seed, crowd: 8, ..PLAN }, Memory::Forgets);
        evicted += store.stats().evicted;
    }
    assert!(evicted > 0, "nothing was forgotten: the case has shown nothing");
}
