//! Eviction policies by the book, counting entries, to compare hit ratios with.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

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

/// Hits of S3-FIFO (Yang et al., SOSP 2023): a small queue of a tenth for what is new, a main one for what was used in it more than
/// once or came back soon, and a queue of the keys that left the small one.
pub fn s3_fifo(trace: &[u32], capacity: usize) -> usize {
    let small_max = (capacity / 10).max(1);
    let mut cache =
        S3Fifo { small_max, main_max: capacity.saturating_sub(small_max).max(1), ..S3Fifo::default() };
    trace.iter().filter(|key| cache.access(**key)).count()
}

#[derive(Default)]
struct S3Fifo {
    small_max: usize,
    main_max: usize,
    /// How often each was used since it came, three at most.
    used: HashMap<u32, u8>,
    small: VecDeque<u32>,
    main: VecDeque<u32>,
    ghosts: VecDeque<u32>,
    remembered: HashSet<u32>,
}

impl S3Fifo {
    fn access(&mut self, key: u32) -> bool {
        if let Some(used) = self.used.get_mut(&key) {
            *used = (*used + 1).min(3);
            return true;
        }
        while self.small.len() + self.main.len() >= self.small_max + self.main_max {
            if self.small.len() >= self.small_max || self.main.is_empty() {
                self.evict_small();
            } else {
                self.evict_main();
            }
        }
        self.used.insert(key, 0);
        if self.remembered.remove(&key) {
            self.main.push_back(key);
        } else {
            self.small.push_back(key);
        }
        false
    }

    fn evict_small(&mut self) {
        while let Some(key) = self.small.pop_front() {
            let used = self.used.get_mut(&key).map(|used| std::mem::take(used));
            if used > Some(1) {
                self.main.push_back(key);
                if self.main.len() > self.main_max {
                    return self.evict_main();
                }
                continue;
            }
            self.used.remove(&key);
            self.ghosts.push_back(key);
            self.remembered.insert(key);
            if self.ghosts.len() > self.main_max
                && let Some(forgotten) = self.ghosts.pop_front()
            {
                self.remembered.remove(&forgotten);
            }
            return;
        }
    }

    fn evict_main(&mut self) {
        while let Some(key) = self.main.pop_front() {
            match self.used.get_mut(&key) {
                Some(used) if *used > 0 => {
                    *used -= 1;
                    self.main.push_back(key);
                }
                _ => {
                    self.used.remove(&key);
                    return;
                }
            }
        }
    }
}

/// Hits of W-TinyLFU (Einziger et al., ACM ToS 2017): a window of a hundredth by age, and behind it a segmented LRU, into which
/// comes what a sketch of frequencies puts before that LRU's own victim.
pub fn w_tiny_lfu(trace: &[u32], capacity: usize) -> usize {
    let window_max = (capacity / 100).max(1);
    let main_max = capacity.saturating_sub(window_max).max(1);
    let mut cache = WTinyLfu {
        window_max,
        main_max,
        protected_max: main_max * 4 / 5,
        sketch: Sketch::new(capacity),
        now: 0,
        places: HashMap::new(),
        queues: Default::default(),
    };
    trace.iter().filter(|key| cache.access(**key)).count()
}

const WINDOW: usize = 0;
const PROBATION: usize = 1;
const PROTECTED: usize = 2;

struct WTinyLfu {
    window_max: usize,
    main_max: usize,
    protected_max: usize,
    sketch: Sketch,
    now: usize,
    /// Of each key its queue and its age there.
    places: HashMap<u32, (usize, usize)>,
    /// By age.
    queues: [BTreeMap<usize, u32>; 3],
}

impl WTinyLfu {
    fn access(&mut self, key: u32) -> bool {
        self.sketch.add(key);
        if let Some((queue, age)) = self.places.get(&key).copied() {
            self.queues[queue].remove(&age);
            self.put(if queue == WINDOW { WINDOW } else { PROTECTED }, key);
            if self.queues[PROTECTED].len() > self.protected_max
                && let Some((_, oldest)) = self.queues[PROTECTED].pop_first()
            {
                self.put(PROBATION, oldest);
            }
            return true;
        }
        self.put(WINDOW, key);
        if self.queues[WINDOW].len() > self.window_max
            && let Some((_, candidate)) = self.queues[WINDOW].pop_first()
        {
            self.put(PROBATION, candidate);
            self.admit(candidate);
        }
        false
    }

    /// Keeps the candidate or the victim, where both are too much.
    fn admit(&mut self, candidate: u32) {
        if self.queues[PROBATION].len() + self.queues[PROTECTED].len() <= self.main_max {
            return;
        }
        let victims = if self.queues[PROBATION].len() > 1 { PROBATION } else { PROTECTED };
        let Some(victim) = self.queues[victims].first_key_value().map(|(_, victim)| *victim) else { return };
        let is_better = self.sketch.frequency(candidate) > self.sketch.frequency(victim);
        let loser = if is_better { victim } else { candidate };
        if let Some((queue, age)) = self.places.remove(&loser) {
            self.queues[queue].remove(&age);
        }
    }

    fn put(&mut self, queue: usize, key: u32) {
        self.now += 1;
        self.queues[queue].insert(self.now, key);
        self.places.insert(key, (queue, self.now));
    }
}

/// A count-min sketch of four rows, whose counts stop at 15 and are halved now and then.
struct Sketch {
    rows: [Vec<u8>; 4],
    added: usize,
    added_max: usize,
}

impl Sketch {
    fn new(capacity: usize) -> Self {
        let width = (4 * capacity).next_power_of_two().max(64);
        Self { rows: std::array::from_fn(|_| vec![0; width]), added: 0, added_max: 10 * capacity }
    }

    fn place(&self, row: usize, key: u32) -> usize {
        const SEEDS: [u64; 4] =
            [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9, 0x85eb_ca77_c2b2_ae63];
        let mixed = (u64::from(key) + 1).wrapping_mul(SEEDS[row]);
        (mixed ^ (mixed >> 29)).wrapping_mul(SEEDS[3 - row]) as usize >> 20 & (self.rows[row].len() - 1)
    }

    fn frequency(&self, key: u32) -> u8 {
        (0..4).map(|row| self.rows[row][self.place(row, key)]).min().unwrap_or(0)
    }

    fn add(&mut self, key: u32) {
        let least = self.frequency(key);
        for row in 0..4 {
            let place = self.place(row, key);
            if self.rows[row][place] == least && least < 15 {
                self.rows[row][place] += 1;
            }
        }
        self.added += 1;
        if self.added >= self.added_max {
            self.added /= 2;
            self.rows.iter_mut().flatten().for_each(|count| *count /= 2);
        }
    }
}
