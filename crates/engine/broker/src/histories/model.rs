//! What the queues should hold: a list of changes by the sequences of their records, and the sum of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use forebay_core::delivery::Reason;
use forebay_core::queue::{Order, Overflow};
use forebay_core::time::Instant;

use super::routes::Routes;
use super::world::World;
use crate::routing::change::Change as RouteChange;
use crate::state::entry::NEVER;

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Ready from then on.
    Waiting(Instant),
    Held {
        token: u32,
        until: Instant,
    },
}

/// A message in a queue.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) payload: usize,
    pub(super) key: Option<&'static str>,
    pub(super) priority: u8,
    pub(super) attempts: u32,
    pub(super) place: Place,
    pub(super) expires_at: Option<Instant>,
    pub(super) published_at: Instant,
    /// Whether its queue keeps only the newest with its key.
    pub(super) counts: bool,
    /// Queue, reason, how often, attempts of the last time.
    pub(super) history: Vec<(String, Reason, u64, u32)>,
}

impl Item {
    fn is_ready(&self, now: Instant) -> bool {
        matches!(self.place, Place::Waiting(from) if from <= now)
    }

    pub(super) fn has_expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// A queue.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    pub(super) name: String,
    pub(super) items: BTreeMap<u64, Item>,
    pub(super) paused: bool,
    /// When messages with these dedup ids were taken last.
    taken: BTreeMap<&'static str, Instant>,
    /// What was finished and is retained, for longer than it has to be.
    pub(super) finished: BTreeMap<u64, Item>,
}

/// What publishers use as dedup ids.
pub(super) const DEDUP_IDS: [&str; 3] = ["x", "y", "z"];

impl Queue {
    /// Positions of what is to be handed out, in order: the first of each key that is not in somebody's hands.
    pub(super) fn next(&self, now: Instant) -> Vec<u64> {
        let settings = World::settings(&self.name);
        let mut next = self.ready(now);
        next.sort_by_key(|position| {
            (Reverse(self.items[position].priority.min(settings.priority_max)), *position)
        });
        if settings.order == Order::Key {
            let mut keys = self.held_keys(now);
            next.retain(|position| self.items[position].key.is_none_or(|key| keys.insert(key)));
        }
        next
    }

    pub(super) fn has_taken(&self, dedup_id: &str, now: Instant) -> bool {
        let window = World::settings(&self.name).dedup_window;
        self.taken.get(dedup_id).is_some_and(|at| now.since(*at) < window)
    }

    /// Keys of which a message is in somebody's hands or waits for its next attempt.
    pub(super) fn held_keys(&self, now: Instant) -> HashSet<&'static str> {
        let is_between = |item: &&Item| item.attempts > 0 && !item.is_ready(now);
        self.items.values().filter(is_between).filter_map(|item| item.key).collect()
    }

    /// The position of what is dropped first when there is too much.
    pub(super) fn least(&self, now: Instant) -> u64 {
        let settings = World::settings(&self.name);
        let class = |position: &u64| (self.items[position].priority.min(settings.priority_max), *position);
        self.ready(now).into_iter().min_by_key(class).unwrap()
    }

    /// The newest message that its queue knows to have this key.
    pub(super) fn newest(&self, key: &str) -> Option<(u64, &Item)> {
        let with_key = |item: &&Item| item.counts && item.key == Some(key);
        let mut found = self.items.iter().rev().filter(|(_, item)| with_key(item));
        found.next().map(|(position, item)| (*position, item))
    }

    /// Whether it has more ready than it may, and drops what is too much.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let settings = World::settings(&self.name);
        let is_long = self.ready(now).len() as u64 > settings.length_max;
        let is_large = settings.length_bytes_max.is_some_and(|max| self.ready_bytes(now) > max);
        settings.overflow == Overflow::DropHead && (is_long || is_large)
    }

    /// How many are in nobody's hands.
    pub(super) fn waiting_len(&self) -> u64 {
        self.items.values().filter(|item| matches!(item.place, Place::Waiting(_))).count() as u64
    }

    /// Bytes of payload of what is ready.
    pub(super) fn ready_bytes(&self, now: Instant) -> u64 {
        self.ready(now).iter().map(|position| self.items[position].payload as u64).sum()
    }

    /// Positions of what is ready, as it came.
    pub(super) fn ready(&self, now: Instant) -> Vec<u64> {
        self.items.iter().filter(|(_, item)| item.is_ready(now)).map(|(position, _)| *position).collect()
    }
}

/// All queues by their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) queues: BTreeMap<u64, Queue>,
    pub(super) routes: Routes,
}

impl Model {
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.queues.iter().find(|(_, queue)| queue.name == name).map(|(number, _)| *number)
    }

    fn items(&mut self, queue: u64) -> &mut BTreeMap<u64, Item> {
        &mut self.queues.get_mut(&queue).unwrap().items
    }

    fn apply(&mut self, sequence: u64, change: &Change) {
        match change {
            Change::Declare(name) => {
                self.queues.insert(sequence, Queue { name: name.clone(), ..Queue::default() });
            }
            Change::Delete { queue, routes } => {
                self.queues.remove(queue);
                routes.iter().for_each(|change| self.routes.apply(change));
            }
            Change::Route(changes) => changes.iter().for_each(|change| self.routes.apply(change)),
            Change::Pause { queue, paused } => self.queues.get_mut(queue).unwrap().paused = *paused,
            Change::Purge { queue } => {
                self.items(*queue).retain(|_, item| matches!(item.place, Place::Held { .. }));
            }
            Change::Put { queue, item, taken, replaces } => {
                replaces.iter().for_each(|replaces| drop(self.items(*queue).remove(replaces).unwrap()));
                self.items(*queue).insert(sequence, item.clone());
                self.queues.get_mut(queue).unwrap().taken.extend(*taken);
            }
            Change::Hold { queue, position, token, until } => {
                let item = self.items(*queue).get_mut(position).unwrap();
                item.attempts += 1;
                item.place = Place::Held { token: *token, until: *until };
            }
            Change::Extend { queue, position, until } => {
                if let Place::Held { until: end, .. } =
                    &mut self.items(*queue).get_mut(position).unwrap().place
                {
                    *end = *until;
                }
            }
            Change::Retry { queue, position, at } => {
                self.items(*queue).get_mut(position).unwrap().place = Place::Waiting(*at);
            }
            Change::Return { queue, position, seen } => {
                let item = self.items(*queue).get_mut(position).unwrap();
                item.attempts -= u32::from(!seen);
                item.place = Place::Waiting(Instant::from_ms(0));
            }
            Change::Reopen => {
                let items = self.queues.values_mut().flat_map(|queue| queue.items.values_mut());
                for item in items.filter(|item| matches!(item.place, Place::Held { until: NEVER, .. })) {
                    item.place = Place::Waiting(Instant::from_ms(0));
                }
            }
            Change::Gone { queue, position } => drop(self.items(*queue).remove(position).unwrap()),
            Change::Finish { queue, position } => {
                let item = self.items(*queue).remove(position).unwrap();
                self.queues.get_mut(queue).unwrap().finished.insert(*position, item);
            }
            Change::Move { queue, position, to, reason, at, stays } => {
                let from = self.queues[queue].name.clone();
                let mut item = self.items(*queue)[position].clone();
                if !stays {
                    self.items(*queue).remove(position);
                }
                if let Some(reason) = reason {
                    let same = |line: &(String, Reason, u64, u32)| line.0 == from && line.1 == *reason;
                    let before = item.history.iter().position(same).map(|place| item.history.remove(place).2);
                    item.history.push((from, *reason, before.unwrap_or(0) + 1, item.attempts));
                }
                item.attempts = 0;
                item.expires_at = World::settings(&self.queues[to].name).message_ttl.map(|ttl| *at + ttl);
                item.published_at = *at;
                // What is sent back counts with its key again; a dead letter does not.
                item.counts = reason.is_none() && item.key.is_some() && self.queues[to].name == "newest";
                item.place = Place::Waiting(Instant::from_ms(0));
                self.items(*to).insert(sequence, item);
            }
        }
    }
}

/// What one record changes. Queues are meant by their numbers, messages by their positions.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Declare(String),
    Delete {
        queue: u64,
        routes: Vec<RouteChange>,
    },
    Route(Vec<RouteChange>),
    Purge {
        queue: u64,
    },
    Pause {
        queue: u64,
        paused: bool,
    },
    Put {
        queue: u64,
        item: Item,
        taken: Option<(&'static str, Instant)>,
        replaces: Option<u64>,
    },
    Hold {
        queue: u64,
        position: u64,
        token: u32,
        until: Instant,
    },
    Extend {
        queue: u64,
        position: u64,
        until: Instant,
    },
    Retry {
        queue: u64,
        position: u64,
        at: Instant,
    },
    Return {
        queue: u64,
        position: u64,
        seen: bool,
    },
    /// What was held for the life of a process is ready.
    Reopen,
    Gone {
        queue: u64,
        position: u64,
    },
    Finish {
        queue: u64,
        position: u64,
    },
    Move {
        queue: u64,
        position: u64,
        to: u64,
        reason: Option<Reason>,
        at: Instant,
        stays: bool,
    },
}

/// All that has happened, and what came of it.
#[derive(Default)]
pub(super) struct Story {
    changes: Vec<(u64, Change)>,
    pub(super) model: Model,
}

impl Story {
    pub(super) fn tell(&mut self, sequence: u64, change: Change) {
        self.model.apply(sequence, &change);
        self.changes.push((sequence, change));
    }

    /// Forgets everything behind the last record that has survived.
    pub(super) fn cut(&mut self, last: u64) {
        self.changes.retain(|(sequence, _)| *sequence <= last);
        self.model = Model::default();
        for (sequence, change) in &self.changes {
            self.model.apply(*sequence, change);
        }
    }
}
