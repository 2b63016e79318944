//! Eviction policies by the book, counting entries, to compare hit ratios with.

use std::collections::{BTreeMap, HashMap};

/// Hits of the optimum: the entry whose next use is farthest away goes. No policy can exceed it.
pub fn optimum(trace: &[u32], capacity: usize) -> usize {
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

/// Hits of a strict LRU.
pub fn lru(trace: &[u32], capacity: usize) -> usize {
    let (mut held, mut order) = (HashMap::new(), BTreeMap::new());
    let mut hits = 0;
    for (now, key) in trace.iter().enumerate() {
        if let Some(before) = held.insert(*key, now) {
            hits += 1;
            order.remove(&before);
        }
        order.insert(now, *key);
        if held.len() > capacity
            && let Some((_, oldest)) = order.pop_first()
        {
            held.remove(&oldest);
        }
    }
    hits
}

/// Hits of SIEVE (Zhang et al., NSDI 2024): one queue by age, and a hand that spares what was used since it last came by.
pub fn sieve(trace: &[u32], capacity: usize) -> usize {
    let mut held: HashMap<u32, usize> = HashMap::new();
    // By time of arrival: the key, and whether it was used since the hand last came by.
    let mut queue: BTreeMap<usize, (u32, bool)> = BTreeMap::new();
    let (mut hits, mut hand) = (0, 0);
    for (now, key) in trace.iter().enumerate() {
        if let Some((_, used)) = held.get(key).and_then(|arrived| queue.get_mut(arrived)) {
            *used = true;
            hits += 1;
            continue;
        }
        while held.len() >= capacity {
            match queue.range_mut(hand..).next() {
                None => hand = 0,
                Some((arrived, (_, used))) if *used => {
                    *used = false;
                    hand = arrived + 1;
                }
                Some((arrived, (victim, _))) => {
                    let (arrived, victim) = (*arrived, *victim);
                    queue.remove(&arrived);
                    held.remove(&victim);
                    hand = arrived;
                }
            }
        }
        queue.insert(now, (*key, false));
        held.insert(*key, now);
    }
    hits
}
