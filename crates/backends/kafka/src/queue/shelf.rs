//! What of a queue lies in this process: ready, waiting for its time, or held. No I/O here, and no clock: the present is an
//! argument. What comes and goes with partitions is in `intake`, what is settled in `commit`.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use forebay_core::limits;
use forebay_core::limits::kafka::TRIES_MAX;
use forebay_core::time::Instant;
use forebay_envelope::holds::{Held, Holds, Position};
use rdkafka::error::KafkaError;
use tokio::sync::Notify;

use super::commit::Waiting;
use super::contiguous::Contiguous;
use super::letter::{Letter, Place, Source};

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

/// A partition that this process has.
pub(super) struct Partition {
    pub(super) offsets: Contiguous,
    /// Of all assignments, which one this is.
    pub(super) generation: u64,
    /// The last commit that is known.
    pub(super) committed: i64,
    /// What lies before it was removed from the servers, as far as this process knows.
    pub(super) trimmed: i64,
    /// Its end when it was assigned.
    pub(super) head: i64,
    /// Behind the newest that came of it. Nothing before that comes, unless the servers have lost the partition's end.
    pub(super) read_to: i64,
    /// The latest time of its messages.
    pub(super) last_ms: u64,
    pub(super) bytes: usize,
    /// It is read no further for now.
    pub(super) full: bool,
    /// There is something to commit.
    pub(super) dirty: bool,
}

/// What a receiver finds.
#[derive(Default)]
pub(crate) struct Found {
    /// What was taken for it, and is held now.
    pub(crate) taken: Vec<Held<Letter>>,
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
    pub(crate) holds: Holds<Letter>,
    pub(super) partitions: BTreeMap<Source, Partition>,
    /// Who reads a partition is notified here when it comes, goes, or has room again.
    pub(super) readers: BTreeMap<Source, Arc<Notify>>,
    pub(super) waiting: Vec<Waiting>,
    /// A commit is under way.
    pub(super) committing: bool,
    /// How many were begun, and which of them was the last one that is durable.
    pub(super) batches: u64,
    pub(super) batch_committed: u64,
    /// Letters are on their way to another place in Kafka.
    pub(super) carrying: bool,
    /// Why nothing comes, as the client said last. Nothing once this process has partitions.
    pub(crate) trouble: Option<KafkaError>,
    /// None are to be sent there for now: so many purges are under way.
    pub(crate) purges: usize,
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
            holds: Holds::default(),
            partitions: BTreeMap::new(),
            readers: BTreeMap::new(),
            waiting: Vec::new(),
            committing: false,
            batches: 0,
            batch_committed: 0,
            carrying: false,
            trouble: None,
            purges: 0,
        }
    }

    /// Takes up to `count_max` of what is ready, in order, and holds it until then.
    pub(crate) fn take(&mut self, count_max: usize, until: Instant, token: u32, now: Instant) -> Found {
        self.ripen(now);
        let mut found = Found::default();
        for letter in self.pick(count_max) {
            if letter.message().expires_at.is_some_and(|at| at <= now) {
                if let Some(partition) = self.partitions.get(&letter.source) {
                    found.expired.push((letter.clone(), partition.generation));
                    self.holds.busy_with(letter.number, Some(letter));
                }
                continue;
            }
            let held = Held { letter, token, until, offered: false };
            found.taken.push(held.clone());
            self.holds.hold(held.letter.number, held);
        }
        found
    }

    /// Takes out up to so many of what may be handed out now, in order.
    fn pick(&mut self, count_max: usize) -> Vec<Arc<Letter>> {
        let (mut picked, mut bytes) = (Vec::new(), 0);
        if !self.ordered {
            while picked.len() < count_max
                && bytes < limits::RECEIVE_BYTES_MAX
                && let Some((_, letter)) = self.ready.pop_first()
            {
                bytes += letter.bytes;
                picked.push(letter);
            }
            return picked;
        }
        let (mut busy, mut tries, mut places) = (self.busy(), self.tries(), Vec::new());
        for (place, letter) in &self.ready {
            if places.len() >= count_max || bytes >= limits::RECEIVE_BYTES_MAX {
                break;
            }
            if let Some(key) = letter.key() {
                let tried = tries.entry(letter.source).or_default();
                // Whatever of these fails must find room in what a commit says.
                if (!letter.tried && *tried >= TRIES_MAX) || !busy.insert(key.to_owned()) {
                    continue;
                }
                *tried += 1;
            }
            bytes += letter.bytes;
            places.push(*place);
        }
        places.into_iter().filter_map(|place| self.ready.remove(&place)).collect()
    }

    /// Keys of which nothing may be handed out now.
    fn busy(&self) -> HashSet<String> {
        let taken = self.holds.held_letters().chain(self.holds.gripped_letters());
        let again = self.later.values().filter(|letter| letter.tried);
        taken.chain(again).filter_map(|letter| letter.key()).map(str::to_owned).collect()
    }

    /// By partition, how many messages with a key may need to have their attempts written down.
    fn tries(&self) -> HashMap<Source, usize> {
        let mut tries = HashMap::new();
        for (source, partition) in &self.partitions {
            tries.insert(*source, partition.offsets.tried_count());
        }
        let held = self.holds.held_letters().filter(|letter| !letter.tried);
        // What it was before may be said of it again.
        let may_fail = held.chain(self.holds.gripped_letters()).filter(|letter| letter.key().is_some());
        may_fail.for_each(|letter| *tries.entry(letter.source).or_default() += 1);
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

    /// Nobody has asked for anything since then.
    pub(crate) fn is_unused(&self, since: Instant) -> bool {
        self.turns.is_empty() && self.used_at <= since
    }

    /// Waiting here for its time.
    pub(crate) fn later_count(&self, now: Instant) -> u64 {
        self.later.keys().filter(|(at, _)| *at > now).count() as u64
    }

    /// Takes a held letter out to settle it, and says under which assignment of its partition it came.
    pub(crate) fn grip(&mut self, position: Position, token: u32) -> Option<(Held<Letter>, u64)> {
        let held = self.holds.grip(position, token)?;
        let generation = self.partitions.get(&held.letter.source)?.generation;
        Some((held, generation))
    }

    /// What was gripped is held as before, if its partition is still here.
    pub(crate) fn hold_again(&mut self, held: Held<Letter>, generation: u64) {
        self.holds.let_go(held.letter.number);
        if self.is_current(held.letter.source, generation) {
            self.holds.hold(held.letter.number, held);
        }
    }

    /// What was gripped is ready in its place, if its partition is still here.
    pub(crate) fn put_back(&mut self, letter: Arc<Letter>, generation: u64) {
        self.holds.let_go(letter.number);
        if self.is_current(letter.source, generation) {
            self.ready.insert(letter.place, letter);
        }
    }

    /// Whether that assignment of a partition is the present one.
    pub(crate) fn is_current(&self, source: Source, generation: u64) -> bool {
        self.partitions.get(&source).is_some_and(|partition| partition.generation == generation)
    }
}

#[cfg(test)]
mod tests {
    use forebay_core::limits::kafka::{CARRY_BYTES_MAX, OPEN_BYTES_MAX, OPEN_MAX, SPAN_MAX};
    use forebay_core::message::{Message, MessageId};
    use forebay_envelope::envelope::Envelope;
    use tokio::sync::oneshot::Receiver;

    use super::super::commit::{Change, Fate};
    use super::super::contiguous::Tries;
    use super::super::intake::Record;
    use super::super::names::Lane;
    use super::*;

    const NOW: Instant = Instant::from_ms(1_000_000);
    const MAIN: Source = Source { lane: Lane::Main, partition: 0 };
    const TOKEN: u32 = 7;

    fn later(ms: u64) -> Instant {
        NOW + Duration::from_millis(ms)
    }

    /// A message whose key is the first letter of its id, due at that time.
    fn record(source: Source, offset: i64, id: &str, due: Instant) -> Record {
        let key = id.chars().next().filter(|first| *first != '-').map(String::from);
        let message = Message { key, ..Message::new(MessageId::given(id).unwrap(), "12345".into()) };
        let envelope = Envelope { due, ..Envelope::new(message, NOW) };
        Record { source, offset, put_ms: NOW.as_ms(), envelope, origin: None, header_bytes: 0 }
    }

    /// A shelf to which these came, one after the other.
    fn shelf(ordered: bool, ids: &[&str]) -> Shelf {
        let mut shelf = Shelf::new(ordered);
        shelf.assign(MAIN, 0, "", 0);
        for (offset, id) in (0..).zip(ids) {
            shelf.arrive(record(MAIN, offset, id, NOW), offset.unsigned_abs(), NOW);
        }
        shelf
    }

    fn take(shelf: &mut Shelf, now: Instant) -> Vec<(String, u32)> {
        let found = shelf.take(1_000, now + Duration::from_secs(30), TOKEN, now);
        let told = |held: &Held<Letter>| {
            let envelope = &held.letter.envelope;
            (envelope.message.id.as_str().to_owned(), envelope.attempts)
        };
        found.taken.iter().map(told).collect()
    }

    fn ids(shelf: &mut Shelf, now: Instant) -> Vec<String> {
        take(shelf, now).into_iter().map(|(id, _)| id).collect()
    }

    fn count(shelf: &mut Shelf) -> usize {
        shelf.room(MAIN).unwrap().count
    }

    fn begin(shelf: &mut Shelf, position: Position, change: Change) -> Receiver<Fate> {
        let (held, generation) = shelf.grip(position, TOKEN).unwrap();
        shelf.begin(held.letter.clone(), generation, Some(held), change)
    }

    fn commit(shelf: &mut Shelf, fate: Fate) {
        let batch = shelf.batch().unwrap();
        shelf.committed(batch, fate, Fate::Lost, NOW);
    }

    #[test]
    fn of_a_key_nothing_goes_on_while_one_is_held_settled_or_waits_for_its_next_attempt() {
        let mut shelf = shelf(true, &["a1", "a2", "b1"]);
        assert_eq!(ids(&mut shelf, NOW), ["a1", "b1"]);
        let due = later(100_000);
        let tries = Tries { attempts: 1, due_ms: due.as_ms() };
        let mut fate = begin(&mut shelf, 0, Change::Tried(tries));
        assert!(ids(&mut shelf, NOW).is_empty(), "a1 is being settled");
        commit(&mut shelf, Fate::Committed);
        assert_eq!(fate.try_recv(), Ok(Fate::Committed));
        assert!(ids(&mut shelf, NOW).is_empty(), "a1 waits for its time");
        assert_eq!(take(&mut shelf, due), [("a1".to_owned(), 1)], "and goes before a2");
    }

    #[test]
    fn a_commit_that_fails_leaves_a_delivery_as_it_was_held() {
        let mut shelf = shelf(true, &["a1", "b1"]);
        ids(&mut shelf, NOW);
        let tries = Tries { attempts: 1, due_ms: NOW.as_ms() };
        let fates = [begin(&mut shelf, 0, Change::Settled), begin(&mut shelf, 1, Change::Tried(tries))];
        commit(&mut shelf, Fate::Failed);
        for mut fate in fates {
            assert_eq!(fate.try_recv(), Ok(Fate::Failed));
        }
        assert!(shelf.holds.held(0, TOKEN).is_some() && shelf.holds.held(1, TOKEN).is_some());
        let said = shelf.batch().unwrap().said.remove(0);
        assert_eq!((said.offset, said.mark.as_str()), (0, ""), "nothing is settled, nothing was tried");
    }

    #[test]
    fn what_was_put_elsewhere_stays_settled_and_goes_with_the_next_commit() {
        let mut shelf = shelf(false, &["-1"]);
        ids(&mut shelf, NOW);
        let (held, generation) = shelf.grip(0, TOKEN).unwrap();
        let _fate = shelf.begin(held.letter.clone(), generation, None, Change::Settled);
        commit(&mut shelf, Fate::Failed);
        assert!(shelf.holds.held(0, TOKEN).is_none());
        assert_eq!(shelf.batch().unwrap().said.remove(0).offset, 1);
    }

    #[test]
    fn what_lies_here_goes_with_its_partition_held_or_not() {
        let mut shelf = shelf(false, &["-1", "-2", "-3"]);
        assert_eq!(shelf.take(2, later(30_000), TOKEN, NOW).taken.len(), 2);
        let mut fate = begin(&mut shelf, 0, Change::Settled);
        let (gripped, generation) = shelf.grip(1, TOKEN).unwrap();
        shelf.revoke(MAIN);
        assert_eq!(fate.try_recv(), Ok(Fate::Lost));
        shelf.assign(MAIN, 0, "", 0);
        let mut late = shelf.begin(gripped.letter.clone(), generation, Some(gripped), Change::Settled);
        assert_eq!(late.try_recv(), Ok(Fate::Lost), "it came under another assignment");
        assert!(ids(&mut shelf, NOW).is_empty() && shelf.holds.is_empty());
        assert!(shelf.batch().is_none() && shelf.holds.next_end().is_none());
    }

    #[test]
    fn a_partition_that_goes_back_has_lost_its_end_and_what_comes_of_it_is_handed_out() {
        let mut shelf = Shelf::new(false);
        let said = |shelf: &mut Shelf| {
            let said = shelf.batch().unwrap().said.remove(0);
            (said.offset, said.mark)
        };
        shelf.assign(MAIN, 100, "", 100);
        shelf.arrive(record(MAIN, 90, "-1", NOW), 1, NOW);
        assert_eq!(ids(&mut shelf, NOW), ["-1"], "the next place in it is not the one that the commit said");
        assert_eq!(said(&mut shelf), (90, String::new()));
        shelf.arrive(record(MAIN, 91, "-2", NOW), 2, NOW);
        let mut lost = begin(&mut shelf, 1, Change::Settled);
        shelf.arrive(record(MAIN, 90, "-3", NOW), 3, NOW);
        assert_eq!(lost.try_recv(), Ok(Fate::Lost), "what had its place is no more");
        assert_eq!(ids(&mut shelf, NOW), ["-3"]);
        assert_eq!(said(&mut shelf), (90, String::new()));
    }

    #[test]
    fn what_was_skipped_and_comes_at_last_is_no_sign_of_a_lost_end() {
        let mut shelf = shelf(false, &["-1"]);
        shelf.skip_to(&BTreeMap::from([(MAIN, 10)]));
        shelf.arrive(record(MAIN, 1, "-2", NOW), 1, NOW);
        shelf.arrive(record(MAIN, 10, "-3", NOW), 2, NOW);
        assert_eq!(ids(&mut shelf, NOW), ["-3"]);
    }

    #[test]
    fn what_was_on_its_way_when_a_member_ended_keeps_no_key_and_no_partition() {
        let mut shelf = shelf(true, &["a1", "b1"]);
        let level = Source { lane: Lane::Wait, partition: 1 };
        shelf.assign(level, 0, "", 0);
        shelf.arrive(record(level, 0, "c1", NOW), 2, NOW);
        ids(&mut shelf, NOW);
        let mut fate = begin(&mut shelf, 0, Change::Settled);
        let (batch, moved) = (shelf.batch(), shelf.take_carried(NOW));
        assert!(batch.is_some() && moved.len() == 1);
        drop((batch, moved));
        shelf.leave(Consuming::Yes { joined: false });
        assert!(fate.try_recv().is_err() && shelf.holds.is_empty());
        shelf.assign(MAIN, 0, "", 0);
        shelf.arrive(record(MAIN, 0, "a1", NOW), 3, NOW);
        assert_eq!(ids(&mut shelf, NOW), ["a1"]);
    }

    #[test]
    fn a_commit_under_way_does_not_count_for_a_partition_that_went() {
        let mut shelf = shelf(false, &["-1"]);
        ids(&mut shelf, NOW);
        let mut fate = begin(&mut shelf, 0, Change::Settled);
        let mut batch = shelf.batch().unwrap();
        shelf.revoke(MAIN);
        shelf.still_ours(&mut batch);
        assert!(batch.said.is_empty());
        shelf.committed(batch, Fate::Committed, Fate::Unsure, NOW);
        assert_eq!(fate.try_recv(), Ok(Fate::Unsure), "an earlier try of it was not answered");
    }

    #[test]
    fn a_partition_is_read_no_further_at_its_bound_and_again_at_half_of_it() {
        let mut shelf = shelf(false, &[]);
        for offset in 0..i64::try_from(OPEN_MAX).unwrap() {
            assert_eq!(count(&mut shelf), OPEN_MAX - usize::try_from(offset).unwrap());
            shelf.arrive(record(MAIN, offset, "-", NOW), offset.unsigned_abs(), NOW);
        }
        assert_eq!(count(&mut shelf), 0);
        while !ids(&mut shelf, NOW).is_empty() {}
        let half = OPEN_MAX as u64 / 2;
        (0..half).for_each(|position| drop(begin(&mut shelf, position, Change::Settled)));
        shelf.resume_with_room();
        assert_eq!(count(&mut shelf), 0);
        drop(begin(&mut shelf, half, Change::Settled));
        assert_eq!(count(&mut shelf), 0, "its reader was not told yet");
        shelf.resume_with_room();
        assert_eq!(count(&mut shelf), OPEN_MAX / 2 + 1);
        shelf.revoke(MAIN);
        assert!(shelf.room(MAIN).is_none());
    }

    #[test]
    fn no_more_is_read_together_than_may_lie_between_the_first_open_message_and_the_newest() {
        let mut shelf = shelf(false, &["-1"]);
        let end = i64::try_from(SPAN_MAX).unwrap();
        // Between two of them there is so little that all of it counts.
        for offset in (1_000..end - 3).step_by(1_000) {
            shelf.arrive(record(MAIN, offset, "-2", NOW), offset.unsigned_abs(), NOW);
        }
        shelf.arrive(record(MAIN, end - 3, "-3", NOW), end.unsigned_abs(), NOW);
        assert_eq!(count(&mut shelf), 2);
        shelf.arrive(record(MAIN, end - 1, "-4", NOW), end.unsigned_abs() + 1, NOW);
        assert_eq!(count(&mut shelf), 0);
    }

    #[tokio::test]
    async fn who_reads_a_partition_is_told_when_it_comes_goes_or_has_room_again() {
        let mut shelf = Shelf::new(false);
        let reader = shelf.reader(MAIN);
        shelf.assign(MAIN, 0, "", 0);
        reader.notified().await;
        shelf.arrive(Record { header_bytes: OPEN_BYTES_MAX, ..record(MAIN, 0, "-", NOW) }, 0, NOW);
        assert_eq!(count(&mut shelf), 0);
        ids(&mut shelf, NOW);
        drop(begin(&mut shelf, 0, Change::Settled));
        shelf.resume_with_room();
        reader.notified().await;
        shelf.revoke(MAIN);
        reader.notified().await;
    }

    #[test]
    fn what_goes_with_payloads_counts_and_a_queue_of_many_partitions_has_no_more_than_one_of_few() {
        let mut shelf = shelf(false, &[]);
        let arrive = |shelf: &mut Shelf, offset: i64, header_bytes| {
            shelf.arrive(
                Record { header_bytes, ..record(MAIN, offset, "-", NOW) },
                offset.unsigned_abs(),
                NOW,
            );
            count(shelf) == 0
        };
        assert!(!arrive(&mut shelf, 0, OPEN_BYTES_MAX / 2));
        assert!(shelf.room(MAIN).unwrap().bytes < OPEN_BYTES_MAX / 2);
        for partition in 1..1_000 {
            shelf.assign(Source { partition, ..MAIN }, 0, "", 0);
        }
        assert!(arrive(&mut shelf, 1, 0), "there is room for less of each");
        (1..1_000).for_each(|partition| shelf.revoke(Source { partition, ..MAIN }));
        shelf.resume_with_room();
        assert_eq!(count(&mut shelf), 0, "half of its bound lies here still");
        ids(&mut shelf, NOW);
        drop(begin(&mut shelf, 0, Change::Settled));
        shelf.resume_with_room();
        assert!(count(&mut shelf) > 0);
        assert!(arrive(&mut shelf, 2, OPEN_BYTES_MAX));
    }

    #[test]
    fn what_was_to_be_committed_is_so_with_the_next_commit_whatever_comes_behind_it() {
        let mut shelf = shelf(false, &["-1", "-2", "-3", "-4"]);
        ids(&mut shelf, NOW);
        let _first = begin(&mut shelf, 0, Change::Settled);
        let under_way = shelf.batch().unwrap();
        let _second = begin(&mut shelf, 1, Change::Settled);
        let asked = shelf.batches();
        shelf.committed(under_way, Fate::Committed, Fate::Lost, NOW);
        assert!(!shelf.has_committed(asked), "it was under way before");
        let failed = shelf.batch().unwrap();
        let _third = begin(&mut shelf, 2, Change::Settled);
        shelf.committed(failed, Fate::Failed, Fate::Lost, NOW);
        assert!(!shelf.has_committed(asked));
        commit(&mut shelf, Fate::Committed);
        let _fourth = begin(&mut shelf, 3, Change::Settled);
        assert!(shelf.has_committed(asked), "though another waits");
        commit(&mut shelf, Fate::Committed);
        assert!(shelf.has_committed(shelf.batches()), "nothing waits");
    }

    #[test]
    fn what_is_finished_is_to_be_removed_until_that_is_done() {
        let mut shelf = shelf(false, &["-1", "-2"]);
        ids(&mut shelf, NOW);
        assert!(shelf.to_trim().is_empty());
        drop(begin(&mut shelf, 0, Change::Settled));
        commit(&mut shelf, Fate::Committed);
        let due = BTreeMap::from([(MAIN, 1)]);
        assert_eq!([shelf.to_trim(), shelf.to_trim()], [due.clone(), due.clone()], "asking is not doing");
        drop(begin(&mut shelf, 1, Change::Settled));
        commit(&mut shelf, Fate::Committed);
        shelf.trimmed(&due);
        assert_eq!(shelf.to_trim(), BTreeMap::from([(MAIN, 2)]));
        shelf.trimmed(&shelf.to_trim());
        assert!(shelf.to_trim().is_empty());
    }

    #[test]
    fn while_one_of_two_purges_goes_on_nothing_is_moved() {
        let mut shelf = shelf(false, &[]);
        shelf.arrive(record(MAIN, 0, "-far", later(60_000)), 0, NOW);
        shelf.purges += 2;
        assert!(shelf.take_carried(NOW).is_empty());
        shelf.purges -= 1;
        assert!(shelf.take_carried(NOW).is_empty());
        shelf.purges -= 1;
        assert_eq!(shelf.take_carried(NOW).len(), 1);
    }

    #[test]
    fn of_an_ordered_partition_no_more_is_handed_out_than_may_fail() {
        let mut shelf = Shelf::new(true);
        shelf.assign(MAIN, 0, "", 0);
        for offset in 0..200_u8 {
            let id = char::from_u32(0x4e00 + u32::from(offset)).unwrap().to_string();
            shelf.arrive(record(MAIN, offset.into(), &id, NOW), offset.into(), NOW);
        }
        assert_eq!(ids(&mut shelf, NOW).len(), TRIES_MAX);
        let again = Tries { attempts: 1, due_ms: later(60_000).as_ms() };
        drop(begin(&mut shelf, 0, Change::Tried(again)));
        drop(begin(&mut shelf, 1, Change::Settled));
        commit(&mut shelf, Fate::Committed);
        assert_eq!(ids(&mut shelf, NOW).len(), 1, "one was done, one waits for its next attempt");
    }

    #[test]
    fn what_waits_in_kafka_is_moved_on_when_its_level_is_over_and_never_too_late() {
        let mut shelf = shelf(false, &[]);
        let level = Source { lane: Lane::Wait, partition: 1 };
        shelf.assign(level, 0, "", 0);
        shelf.arrive(record(level, 0, "-long", later(60_000)), 1, NOW);
        shelf.arrive(record(level, 1, "-soon", later(1_000)), 2, NOW);
        shelf.arrive(record(MAIN, 0, "-far", later(60_000)), 3, NOW);
        let mut moved = |now| -> Vec<_> {
            shelf
                .take_carried(now)
                .iter()
                .map(|(letter, _)| letter.message().id.as_str().to_owned())
                .collect()
        };
        assert_eq!(moved(NOW), ["-far"], "it waits in Kafka, not here");
        assert_eq!(moved(later(1_000)), ["-soon"]);
        assert_eq!(moved(later(4_095)), [""; 0]);
        assert_eq!(moved(later(4_096)), ["-long"]);
    }

    #[test]
    fn no_more_is_moved_in_one_step_than_a_few_bytes_beyond_a_last_message() {
        let mut shelf = shelf(false, &[]);
        for offset in 0..3 {
            let record = record(MAIN, offset, "-far", later(60_000));
            shelf.arrive(Record { header_bytes: CARRY_BYTES_MAX / 2, ..record }, offset.unsigned_abs(), NOW);
        }
        assert_eq!(shelf.take_carried(NOW).len(), 2);
        assert_eq!(shelf.take_carried(NOW).len(), 1);
    }

    #[test]
    fn all_is_known_of_a_queue_once_what_was_there_was_read() {
        let mut shelf = Shelf::new(false);
        assert!(!shelf.is_caught_up());
        shelf.consuming = Consuming::Yes { joined: true };
        shelf.assign(MAIN, 5, "", 7);
        assert!(!shelf.is_caught_up());
        shelf.arrive(record(MAIN, 6, "-1", NOW), 1, NOW);
        assert!(shelf.is_caught_up());
        shelf.assign(MAIN, 7, "", 9);
        assert!(!shelf.is_caught_up());
        assert!(shelf.is_read_to_its_end(MAIN) && !shelf.is_read_to_its_end(MAIN));
        assert!(shelf.is_caught_up(), "what lies before the end is none of the messages");
    }

    #[test]
    fn whoever_has_lost_its_partitions_knows_nothing_of_its_queue_until_it_has_joined_again() {
        let mut shelf = Shelf::new(false);
        shelf.consuming = Consuming::Yes { joined: true };
        assert!(shelf.is_caught_up(), "all partitions are others'");
        shelf.lose();
        assert!(!shelf.is_caught_up());
        shelf.consuming = Consuming::Gone;
        shelf.lose();
        assert_eq!(shelf.consuming, Consuming::Gone);
    }

    #[test]
    fn who_waits_is_told_of_what_came_and_nobody_where_it_is_not_ours() {
        let mut shelf = shelf(false, &[]);
        let came = |offset, due| [record(MAIN, offset, "-", due)];
        assert!(!shelf.arrive_all(MAIN, came(0, NOW), || 0, NOW).unwrap());
        assert!(shelf.arrive_all(MAIN, came(1, later(60_000)), || 1, NOW).unwrap(), "it is to be moved on");
        shelf.turns.push_back(0);
        assert!(shelf.arrive_all(MAIN, came(2, NOW), || 2, NOW).unwrap());
        shelf.revoke(MAIN);
        assert!(shelf.arrive_all(MAIN, came(3, NOW), || 3, NOW).is_none());
    }
}
