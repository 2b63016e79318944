//! What of a queue lies in this process: ready, waiting for its time, or held. No I/O here, and no clock: the present is an
//! argument. What comes and goes with partitions is in `intake`, what is settled in `commit`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use forebay_core::limits;
use forebay_core::limits::kafka::TRIES_MAX;
use forebay_core::time::Instant;

use super::commit::Waiting;
use super::contiguous::Contiguous;
use super::letter::{Letter, Place, Source};

/// The number of a letter, by which its delivery is known.
pub(crate) type Position = u64;

/// Whether this process is one of the queue's group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consuming {
    /// No; and it is not to join before then.
    No { not_before: Instant },
    /// It is joining, or has joined.
    Yes {
        /// It knows which partitions it has, and what of them is settled.
        joined: bool,
    },
    /// The queue is no more.
    Gone,
}

/// A letter in a consumer's hands.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) letter: Arc<Letter>,
    pub(crate) token: u32,
    pub(crate) until: Instant,
    /// It was offered as run out, and is offered again at `until`.
    pub(crate) offered: bool,
}

/// A letter that is being settled.
pub(super) struct Gripped {
    key: Option<String>,
    source: Source,
}

/// A partition that this process has.
pub(super) struct Partition {
    pub(super) offsets: Contiguous,
    /// Of all assignments, which one this is.
    pub(super) generation: u64,
    /// The last commit that is known.
    pub(super) committed: i64,
    /// Its end when it was assigned.
    pub(super) head: i64,
    /// The latest time of its messages.
    pub(super) last_ms: u64,
    pub(super) bytes: usize,
    /// It is not read for now.
    pub(super) paused: bool,
    /// There is something to commit.
    pub(super) dirty: bool,
}

/// What a receiver finds.
#[derive(Default)]
pub(crate) struct Found {
    /// Positions that were taken for it, and are held now.
    pub(crate) taken: Vec<Position>,
    /// What is past its time to live and is gripped now, with the assignments under which it came.
    pub(crate) expired: Vec<(Arc<Letter>, u64)>,
}

/// All that lies here. What is in it goes with its partition.
pub(crate) struct Shelf {
    pub(crate) consuming: Consuming,
    /// Receivers that wait, the first one first.
    pub(crate) turns: VecDeque<u64>,
    /// When somebody last wanted something.
    pub(crate) used_at: Instant,
    pub(super) ordered: bool,
    pub(super) generation: u64,
    pub(super) ready: BTreeMap<Place, Arc<Letter>>,
    pub(super) later: BTreeMap<(Instant, Place), Arc<Letter>>,
    /// What is moved on to another place in Kafka, and when.
    pub(super) carried: BTreeMap<(Instant, Source, Place), Arc<Letter>>,
    pub(super) held: HashMap<Position, Arc<Held>>,
    pub(super) ends: BTreeSet<(Instant, Position)>,
    pub(super) gripped: HashMap<Position, Gripped>,
    pub(super) partitions: BTreeMap<Source, Partition>,
    pub(super) waiting: Vec<Waiting>,
}

impl Shelf {
    pub(crate) fn new(ordered: bool) -> Self {
        Self {
            consuming: Consuming::No { not_before: Instant::default() },
            turns: VecDeque::new(),
            used_at: Instant::default(),
            ordered,
            generation: 0,
            ready: BTreeMap::new(),
            later: BTreeMap::new(),
            carried: BTreeMap::new(),
            held: HashMap::new(),
            ends: BTreeSet::new(),
            gripped: HashMap::new(),
            partitions: BTreeMap::new(),
            waiting: Vec::new(),
        }
    }

    /// Takes up to `count_max` of what is ready, in order, and holds it until then.
    pub(crate) fn take(&mut self, count_max: usize, until: Instant, token: u32, now: Instant) -> Found {
        self.ripen(now);
        let mut found = Found::default();
        let mut busy = if self.ordered { self.busy() } else { HashSet::new() };
        let mut tries = if self.ordered { self.tries() } else { HashMap::new() };
        let mut bytes = 0;
        let mut places = Vec::new();
        for (place, letter) in &self.ready {
            if places.len() >= count_max || bytes >= limits::RECEIVE_BYTES_MAX {
                break;
            }
            if self.ordered
                && let Some(key) = letter.key()
            {
                let tried = tries.entry(letter.source).or_default();
                // Whatever of these fails must find room in what a commit says.
                if (!letter.tried && *tried >= TRIES_MAX) || !busy.insert(key.to_owned()) {
                    continue;
                }
                *tried += 1;
            }
            bytes += letter.bytes();
            places.push(*place);
        }
        for place in places {
            let Some(letter) = self.ready.remove(&place) else { continue };
            if letter.message().expires_at.is_some_and(|at| at <= now) {
                if let Some(partition) = self.partitions.get(&letter.source) {
                    found.expired.push((letter.clone(), partition.generation));
                    self.busy_with(&letter);
                }
                continue;
            }
            let position = letter.number;
            self.hold(Arc::new(Held { letter, token, until, offered: false }));
            found.taken.push(position);
        }
        found
    }

    /// Keys of which nothing may be handed out now.
    fn busy(&self) -> HashSet<String> {
        let held = self.held.values().map(|held| &held.letter);
        let again = self.later.values().filter(|letter| letter.tried);
        let keys = held.chain(again).filter_map(|letter| letter.key()).map(str::to_owned);
        keys.chain(self.gripped.values().filter_map(|gripped| gripped.key.clone())).collect()
    }

    /// By partition, how many messages with a key may need to have their attempts written down.
    fn tries(&self) -> HashMap<Source, usize> {
        let mut tries = HashMap::new();
        for (source, partition) in &self.partitions {
            tries.insert(*source, partition.offsets.tried_count());
        }
        let held = self.held.values().filter(|held| held.letter.key().is_some() && !held.letter.tried);
        let gripped = self.gripped.values().filter(|gripped| gripped.key.is_some());
        for source in held.map(|held| held.letter.source).chain(gripped.map(|gripped| gripped.source)) {
            *tries.entry(source).or_default() += 1;
        }
        tries
    }

    /// What has waited for its time becomes ready.
    fn ripen(&mut self, now: Instant) {
        let first = (0, i32::MIN, i64::MIN);
        let later = self.later.split_off(&(now + Duration::from_millis(1), first));
        let ripe = std::mem::replace(&mut self.later, later);
        self.ready.extend(ripe.into_iter().map(|((_, place), letter)| (place, letter)));
    }

    /// When the next letter becomes ready by itself.
    pub(crate) fn next_ripe(&self) -> Option<Instant> {
        self.later.keys().next().map(|(due, _)| *due)
    }

    /// It becomes ready then, or is so now.
    pub(super) fn put(&mut self, letter: Arc<Letter>, at: Instant, now: Instant) {
        if at > now {
            self.later.insert((at, letter.place), letter);
        } else {
            self.ready.insert(letter.place, letter);
        }
    }

    /// Somebody holds something, or it is being settled.
    pub(crate) fn is_holding(&self) -> bool {
        !self.held.is_empty() || !self.gripped.is_empty()
    }

    /// Nobody has asked for anything since then.
    pub(crate) fn is_unused(&self, since: Instant) -> bool {
        self.turns.is_empty() && self.used_at <= since
    }

    /// Held by somebody, or being settled.
    pub(crate) fn held_count(&self) -> u64 {
        (self.held.len() + self.gripped.len()) as u64
    }

    /// Waiting here for its time.
    pub(crate) fn later_count(&self, now: Instant) -> u64 {
        self.later.keys().filter(|(at, _)| *at > now).count() as u64
    }

    pub(crate) fn held(&self, position: Position, token: u32) -> Option<&Arc<Held>> {
        self.held.get(&position).filter(|held| held.token == token)
    }

    /// Takes a held letter out to settle it, and says under which assignment of its partition it came.
    pub(crate) fn grip(&mut self, position: Position, token: u32) -> Option<(Arc<Held>, u64)> {
        self.held(position, token)?;
        let held = self.held.remove(&position)?;
        self.ends.remove(&(held.until, position));
        self.busy_with(&held.letter);
        let generation = self.partitions.get(&held.letter.source)?.generation;
        Some((held, generation))
    }

    /// Something is done with a letter that does not lie here.
    pub(super) fn busy_with(&mut self, letter: &Letter) {
        let key = letter.key().map(str::to_owned);
        self.gripped.insert(letter.number, Gripped { key, source: letter.source });
    }

    /// What was gripped is settled.
    pub(super) fn let_go(&mut self, position: Position) {
        self.gripped.remove(&position);
    }

    /// It is in somebody's hands.
    pub(super) fn hold(&mut self, held: Arc<Held>) {
        let position = held.letter.number;
        self.ends.insert((held.until, position));
        self.held.insert(position, held);
    }

    /// What was gripped is held as before, if its partition is still here.
    pub(crate) fn hold_again(&mut self, held: Arc<Held>, generation: u64) {
        self.let_go(held.letter.number);
        if self.is_current(held.letter.source, generation) {
            self.hold(held);
        }
    }

    /// What was gripped is ready in its place, if its partition is still here.
    pub(crate) fn put_back(&mut self, letter: Arc<Letter>, generation: u64) {
        self.let_go(letter.number);
        if self.is_current(letter.source, generation) {
            self.ready.insert(letter.place, letter);
        }
    }

    /// Whether that assignment of a partition is the present one.
    pub(crate) fn is_current(&self, source: Source, generation: u64) -> bool {
        self.partitions.get(&source).is_some_and(|partition| partition.generation == generation)
    }

    /// Holds a delivery until then; `None` if it is not held, or was offered as run out.
    pub(crate) fn extend(&mut self, position: Position, token: u32, until: Instant) -> Option<Instant> {
        let held = self.held.get_mut(&position).filter(|held| held.token == token && !held.offered)?;
        self.ends.remove(&(held.until, position));
        Arc::make_mut(held).until = until;
        self.ends.insert((until, position));
        Some(until)
    }

    /// When the next hold runs out.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.ends.first().map(|(at, _)| *at)
    }

    /// The holds that have run out by now; each is offered again after a grace.
    pub(crate) fn run_out(&mut self, count_max: usize, now: Instant) -> Vec<Position> {
        let due: Vec<_> =
            self.ends.iter().take_while(|(at, _)| *at <= now).take(count_max).copied().collect();
        let mut positions = Vec::new();
        for (at, position) in due {
            self.ends.remove(&(at, position));
            if let Some(held) = self.held.get_mut(&position).map(Arc::make_mut) {
                held.offered = true;
                held.until = now + limits::EXPIRED_GRACE;
                self.ends.insert((held.until, position));
                positions.push(position);
            }
        }
        positions
    }

    /// A held letter by its position alone.
    pub(crate) fn at(&self, position: Position) -> Option<&Held> {
        self.held.get(&position).map(|held| &**held)
    }
}
