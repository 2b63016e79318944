//! What of a queue lies in this process: ready, waiting for its time, or held. No I/O here, and no clock: the present is an
//! argument.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use forebay_core::limits;
use forebay_core::time::Instant;
use forebay_envelope::holds::{Held, Holds, Position};
use lapin::Channel;

use super::intake::Intake;
use super::letter::Letter;
use super::names::Lane;
use super::told::Telling;

/// Lower ones go first: by the rank of the lane, then as they came.
type Place = (u8, u64);

/// Whether the server sends us messages of this queue.
pub(crate) enum Consuming {
    /// No; and it is not to be asked before then.
    No { not_before: Instant },
    /// It is being asked.
    Opening,
    /// Since then, on this channel.
    Yes { since: Instant, channel: Channel },
    /// No, but what is held came over this channel.
    Resting { channel: Channel },
    /// No, and it is being told so.
    Stopping { channel: Channel },
    /// The queue is no more.
    Gone,
}

/// Why the server was asked for messages in vain.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    /// As it said last.
    pub(crate) why: String,
    /// How often, one time after the other.
    pub(crate) times: u32,
}

/// What a receiver finds.
#[derive(Default)]
pub(crate) struct Found {
    /// Positions that were taken for it, and are held now.
    pub(crate) taken: Vec<Position>,
    /// What is past its time to live: it is being settled.
    pub(crate) expired: Vec<Arc<Letter>>,
}

/// What lay here before it was cleared.
pub(crate) struct Cleared {
    pub(crate) channel: Option<Channel>,
    _old: Shelf,
}

/// All that lies here. Everything in it came over one channel: with that it goes.
pub(crate) struct Shelf {
    pub(crate) consuming: Consuming,
    /// Nothing once the server sends us messages, or another process has the queue.
    pub(crate) trouble: Option<Trouble>,
    /// Receivers that wait, the first one first.
    pub(crate) turns: VecDeque<u64>,
    /// When somebody last wanted something.
    pub(crate) used_at: Instant,
    ordered: bool,
    epoch: u64,
    /// Counts how often the server was asked for messages, or told to stop: what consumers of before say of their end is of
    /// no interest.
    pub(crate) asked: u64,
    /// What the server sends is taken in by them.
    pub(crate) intakes: Vec<Weak<Intake>>,
    pub(super) telling: Telling,
    /// On this connection the queue is ours to hand out, where only one may.
    pub(crate) leading: bool,
    ready: BTreeMap<Place, Arc<Letter>>,
    later: BTreeMap<(Instant, Place), Arc<Letter>>,
    pub(crate) holds: Holds<Letter>,
    /// By key, how many copies are on their way to come again.
    expected: HashMap<String, usize>,
}

impl Shelf {
    pub(crate) fn new(ordered: bool) -> Self {
        Self {
            consuming: Consuming::No { not_before: Instant::default() },
            trouble: None,
            turns: VecDeque::new(),
            used_at: Instant::default(),
            ordered,
            epoch: 0,
            asked: 0,
            intakes: Vec::new(),
            telling: Telling::default(),
            leading: false,
            ready: BTreeMap::new(),
            later: BTreeMap::new(),
            holds: Holds::default(),
            expected: HashMap::new(),
        }
    }

    /// The channel over which all that lies here came.
    pub(crate) fn channel(&self) -> Option<Channel> {
        match &self.consuming {
            Consuming::Yes { channel, .. }
            | Consuming::Resting { channel }
            | Consuming::Stopping { channel } => Some(channel.clone()),
            Consuming::No { .. } | Consuming::Opening | Consuming::Gone => None,
        }
    }

    /// Counts the channels that there have been.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The channel is gone with all that came over it: the server hands it out again. What was here is to be dropped by the
    /// caller when nobody waits for the shelf: the client library may have its own locks while it brings a delivery.
    #[must_use]
    pub(crate) fn clear(&mut self, consuming: Consuming) -> Cleared {
        self.epoch += 1;
        let (epoch, asked, leading) = (self.epoch, self.asked, self.leading);
        // How often in turn it could not be opened counts on, also where part of it was open.
        let trouble = self.trouble.take();
        let new = Self { consuming, trouble, epoch, asked, leading, ..Self::new(self.ordered) };
        let mut old = std::mem::replace(self, new);
        self.turns = std::mem::take(&mut old.turns);
        self.used_at = old.used_at;
        self.holds = old.holds.take_gripped();
        // Of these nobody is told any more.
        old.telling.waiting().for_each(|letter| self.holds.let_go(letter.number));
        Cleared { channel: old.channel(), _old: old }
    }

    /// One more takes in what the server sends; those before it may have ended.
    pub(crate) fn take_in_by(&mut self, intake: &Arc<Intake>) {
        self.intakes.retain(|intake| intake.strong_count() > 0);
        self.intakes.push(Arc::downgrade(intake));
    }

    /// Takes in what the server has sent on the present channel.
    pub(crate) fn arrive(&mut self, letter: Arc<Letter>, now: Instant) {
        self.telling.arrive(&letter);
        if let (Lane::Again, Some(key)) = (letter.lane, letter.key())
            && let Some(count) = self.expected.get_mut(key)
        {
            *count -= 1;
            if *count == 0 {
                let key = key.to_owned();
                self.expected.remove(&key);
            }
        }
        let due = letter.envelope.due;
        if due > now {
            self.put_later(letter, due);
        } else {
            self.ready.insert(place(&letter), letter);
        }
    }

    /// It becomes ready then.
    pub(crate) fn put_later(&mut self, letter: Arc<Letter>, at: Instant) {
        self.later.insert((at, place(&letter)), letter);
    }

    /// Takes up to `count_max` of what is ready, in order, and holds it until then.
    pub(crate) fn take(&mut self, count_max: usize, until: Instant, token: u32, now: Instant) -> Found {
        self.ripen(now);
        let mut found = Found::default();
        let (mut busy, mut tries) =
            if self.ordered { (self.busy(), self.tries()) } else { (HashSet::new(), 0) };
        let mut bytes = 0;
        let mut places = Vec::new();
        for (place, letter) in &self.ready {
            if places.len() >= count_max || bytes >= limits::RECEIVE_BYTES_MAX {
                break;
            }
            if self.ordered
                && let Some(key) = letter.key()
            {
                let is_new = letter.lane != Lane::Again;
                // Whatever of these fails must find room where what is tried again comes to whoever has the queue next.
                if (is_new && tries >= limits::rabbitmq::TRIES_MAX) || !busy.insert(key.to_owned()) {
                    continue;
                }
                tries += usize::from(is_new);
            }
            bytes += letter.message().payload.len();
            places.push(*place);
        }
        for place in places {
            let Some(letter) = self.ready.remove(&place) else { continue };
            if letter.message().expires_at.is_some_and(|at| at <= now) {
                self.holds.busy_with(letter.number, None);
                found.expired.push(letter);
                continue;
            }
            let position = letter.number;
            self.holds.hold(position, Held { letter, token, until, offered: false });
            found.taken.push(position);
        }
        found
    }

    /// Keys of which nothing may be handed out now.
    fn busy(&self) -> HashSet<String> {
        let taken = self.holds.held_letters().chain(self.holds.gripped_letters());
        let again = self.later.values().filter(|letter| letter.lane == Lane::Again);
        let keys = taken.chain(again).filter_map(|letter| letter.key()).map(str::to_owned);
        keys.chain(self.expected.keys().cloned()).collect()
    }

    /// How many messages with a key are tried again, or may have to be.
    fn tries(&self) -> usize {
        let taken = self.holds.held_letters().chain(self.holds.gripped_letters());
        let taken = taken.filter(|letter| letter.key().is_some()).count();
        taken + self.unheld_tries().count() + self.expected.values().sum::<usize>()
    }

    fn unheld_tries(&self) -> impl Iterator<Item = &Arc<Letter>> {
        let unheld = self.ready.values().chain(self.later.values());
        unheld.filter(|letter| letter.lane == Lane::Again)
    }

    /// How many messages that are tried again lie here and are not held.
    pub(crate) fn tries_here(&self) -> u64 {
        self.unheld_tries().count() as u64
    }

    /// What has waited for its time becomes ready.
    fn ripen(&mut self, now: Instant) {
        let later = self.later.split_off(&(now + Duration::from_millis(1), (0, 0)));
        let ripe = std::mem::replace(&mut self.later, later);
        self.ready.extend(ripe.into_iter().map(|((_, place), letter)| (place, letter)));
    }

    /// When the next letter becomes ready by itself.
    pub(crate) fn next_ripe(&self) -> Option<Instant> {
        self.later.keys().next().map(|(due, _)| *due)
    }

    /// Everything that nobody holds, in order; it lies here no more.
    pub(crate) fn give_up(&mut self) -> Vec<Arc<Letter>> {
        let mut letters = std::mem::take(&mut self.ready);
        let later = std::mem::take(&mut self.later);
        letters.extend(later.into_iter().map(|((_, place), letter)| (place, letter)));
        letters.into_values().collect()
    }

    /// What nobody holds, in order, if something of it came before then; it lies here no more, and is to be given back to come
    /// anew. Of an ordered queue only what waits to be tried again, for which its key waits: anything else would come behind
    /// what came after it.
    pub(crate) fn give_up_stale(&mut self, before: Instant) -> Vec<Arc<Letter>> {
        let is_stale = |letter: &Arc<Letter>| letter.arrived_at < before;
        if !self.ordered {
            // All of it, or what is given back would be behind the rest again and again.
            let any = self.ready.values().chain(self.later.values()).any(is_stale);
            return if any { self.give_up() } else { Vec::new() };
        }
        let waits = |letter: &Arc<Letter>| letter.lane == Lane::Again && is_stale(letter);
        let stale: Vec<_> =
            self.later.extract_if(.., |_, letter| waits(letter)).map(|(_, letter)| letter).collect();
        stale.iter().for_each(|letter| self.expect(letter.key()));
        stale
    }

    /// Nobody has asked for anything since then.
    pub(crate) fn is_unused(&self, since: Instant) -> bool {
        self.turns.is_empty() && self.used_at <= since
    }

    /// Something lies here that nobody holds.
    pub(crate) fn has_unheld(&self) -> bool {
        !self.ready.is_empty() || !self.later.is_empty()
    }

    /// Ready, held, and waiting for their time.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        (self.ready.len() as u64, self.holds.count() as u64, self.later.len() as u64)
    }

    /// Takes in what has come, but is to wait elsewhere: something is done with it at once.
    pub(crate) fn arrive_to_leave(&mut self, letter: &Letter) {
        self.telling.arrive(letter);
        self.holds.busy_with(letter.number, None);
    }

    /// What was gripped is held as before, if its channel is still there.
    pub(crate) fn hold_again(&mut self, held: Held<Letter>, epoch: u64) {
        if epoch == self.epoch {
            self.holds.hold(held.letter.number, held);
        }
    }

    /// What was gripped is ready in its place, if its channel is still there.
    pub(crate) fn put_back(&mut self, letter: Arc<Letter>, epoch: u64) {
        if epoch == self.epoch {
            self.ready.insert(place(&letter), letter);
        }
    }

    /// A copy with this key is about to come again; until then none of the key goes on.
    pub(crate) fn expect(&mut self, key: Option<&str>) {
        if let Some(key) = key {
            *self.expected.entry(key.to_owned()).or_default() += 1;
        }
    }

    /// No copy comes any more: they were purged.
    pub(crate) fn expect_nothing(&mut self) {
        self.expected.clear();
    }

    /// It does not come.
    pub(crate) fn expect_no_more(&mut self, key: Option<&str>) {
        if let Some(key) = key
            && let Some(count) = self.expected.get_mut(key)
        {
            *count -= 1;
            if *count == 0 {
                self.expected.remove(key);
            }
        }
    }
}

fn place(letter: &Letter) -> Place {
    (letter.lane.rank(), letter.number)
}

#[cfg(test)]
pub(super) mod tests {
    use forebay_core::message::{Message, MessageId};
    use forebay_envelope::envelope::Envelope;
    use lapin::message::Delivery;

    use super::*;

    pub(crate) const NOW: Instant = Instant::from_ms(1_000_000);

    fn letter(id: &str, number: u64, lane: Lane) -> Arc<Letter> {
        let key = id.chars().next().filter(|first| *first != '-').map(String::from);
        let message = Message { key, ..Message::new(MessageId::given(id).unwrap(), "".into()) };
        let acker = Delivery::mock(number, "".into(), "".into(), false, Vec::new()).acker;
        let envelope = Envelope::new(message, NOW);
        Arc::new(Letter { envelope, lane, number, tag: number, acker, arrived_at: NOW })
    }

    fn due(letter: Arc<Letter>, at: Instant) -> Arc<Letter> {
        let mut letter = Arc::into_inner(letter).unwrap();
        letter.envelope.due = at;
        Arc::new(letter)
    }

    pub(crate) fn shelf(ordered: bool, letters: impl IntoIterator<Item = Arc<Letter>>) -> Shelf {
        let mut shelf = Shelf::new(ordered);
        letters.into_iter().for_each(|letter| shelf.arrive(letter, NOW));
        shelf
    }

    pub(crate) fn take(shelf: &mut Shelf, now: Instant) -> Vec<String> {
        let found = shelf.take(10, now + Duration::from_secs(30), 7, now);
        let id =
            |position: &Position| shelf.holds.at(*position).unwrap().letter.message().id.as_str().to_owned();
        found.taken.iter().map(id).collect()
    }

    pub(crate) fn main_lane(id: &str, number: u64) -> Arc<Letter> {
        letter(id, number, Lane::Class(0))
    }

    #[test]
    fn how_often_it_could_not_be_opened_counts_on_when_part_of_it_was_open() {
        let mut shelf = shelf(true, []);
        shelf.trouble = Some(Trouble { why: "away".into(), times: 3 });
        drop(shelf.clear(Consuming::No { not_before: NOW }));
        assert_eq!(shelf.trouble.map(|trouble| trouble.times), Some(3));
    }

    #[test]
    fn of_a_key_nothing_goes_on_while_one_is_held_settled_or_about_to_come_again() {
        let mut shelf = shelf(true, [main_lane("a1", 1), main_lane("a2", 2), main_lane("b1", 3)]);
        assert_eq!(take(&mut shelf, NOW), ["a1", "b1"]);
        let gripped = shelf.holds.grip(1, 7).unwrap();
        assert!(take(&mut shelf, NOW).is_empty(), "a1 is being settled");
        shelf.expect(Some("a"));
        shelf.holds.let_go(gripped.letter.number);
        assert!(take(&mut shelf, NOW).is_empty(), "a1 is about to come again");
        let later = NOW + Duration::from_secs(5);
        shelf.arrive(due(letter("a1", 4, Lane::Again), later), NOW);
        assert!(take(&mut shelf, NOW).is_empty(), "a1 waits for its time");
        assert_eq!(take(&mut shelf, later), ["a1"], "and goes before a2, which was there earlier");
    }

    #[test]
    fn of_an_ordered_queue_no_more_is_handed_out_than_may_be_tried_again() {
        let id = |number: usize| char::from_u32(0x4e00 + u32::try_from(number).unwrap()).unwrap().to_string();
        let numbers = 1..=limits::rabbitmq::TRIES_MAX + 50;
        let mut shelf = shelf(true, numbers.map(|number| main_lane(&id(number), number as u64)));
        let taken = |shelf: &mut Shelf| shelf.take(1_000, NOW + Duration::from_secs(30), 7, NOW).taken.len();
        assert_eq!(taken(&mut shelf), limits::rabbitmq::TRIES_MAX);
        shelf.holds.grip(1, 7).unwrap();
        assert_eq!(taken(&mut shelf), 0, "it may have to be tried again");
        shelf.expect(Some(&id(1)));
        shelf.holds.let_go(1);
        assert_eq!(taken(&mut shelf), 0, "it is about to come again");
        let later = NOW + Duration::from_secs(5);
        shelf.arrive(due(letter(&id(1), 1_000, Lane::Again), later), NOW);
        assert_eq!(taken(&mut shelf), 0, "it waits for its time");
        shelf.arrive(letter("-", 1_001, Lane::Class(0)), NOW);
        assert_eq!(taken(&mut shelf), 1, "what has no key waits for nobody, and nobody for it");
        shelf.holds.grip(2, 7).unwrap();
        shelf.holds.let_go(2);
        assert_eq!(taken(&mut shelf), 1, "one was done");
        assert_eq!(
            shelf.take(1_000, later, 7, later).taken,
            [1_000],
            "and one that is tried again always goes on"
        );
    }

    #[test]
    fn what_has_lain_here_for_long_is_given_back_without_a_change_of_order() {
        let later = NOW + Duration::from_secs(3_600);
        let numbers = |letters: Vec<Arc<Letter>>| letters.iter().map(|one| one.number).collect::<Vec<_>>();
        let mut unordered = shelf(false, [due(main_lane("-1", 1), later), main_lane("-2", 2)]);
        assert!(unordered.give_up_stale(NOW).is_empty(), "it has just come");
        assert_eq!(numbers(unordered.give_up_stale(later)), [1, 2]);
        assert!(!unordered.has_unheld());
        let again = due(letter("a1", 1, Lane::Again), later);
        let mut ordered = shelf(true, [again, main_lane("a2", 2), main_lane("b1", 3)]);
        assert_eq!(numbers(ordered.give_up_stale(later)), [1]);
        assert_eq!(take(&mut ordered, later), ["b1"], "a1 comes again, and a2 behind it");
        ordered.arrive(letter("a1", 4, Lane::Again), later);
        assert_eq!(take(&mut ordered, later), ["a1"]);
    }

    #[test]
    fn a_key_whose_copy_was_purged_goes_on() {
        let mut shelf = shelf(true, [main_lane("a1", 1)]);
        shelf.expect(Some("a"));
        assert!(take(&mut shelf, NOW).is_empty(), "its copy is about to come");
        shelf.expect_nothing();
        assert_eq!(take(&mut shelf, NOW), ["a1"]);
    }

    #[test]
    fn what_its_publisher_delays_holds_nothing_up() {
        let later = NOW + Duration::from_millis(100);
        let mut shelf = shelf(true, [due(main_lane("a1", 1), later), main_lane("a2", 2)]);
        assert_eq!(take(&mut shelf, NOW), ["a2"]);
        assert_eq!(shelf.next_ripe(), Some(later));
    }

    #[test]
    fn greater_priorities_go_first_whenever_they_came() {
        let low = |id, number| letter(id, number, Lane::Class(0));
        let mut shelf = shelf(false, [low("-1", 1), low("-2", 2), letter("-3", 3, Lane::Class(9))]);
        assert_eq!(take(&mut shelf, NOW), ["-3", "-1", "-2"]);
    }

    #[test]
    fn what_is_put_back_is_in_its_place_unless_its_channel_is_gone() {
        let mut shelf = shelf(false, [main_lane("-1", 1), main_lane("-2", 2)]);
        take(&mut shelf, NOW);
        for position in [2, 1] {
            let held = shelf.holds.grip(position, 7).unwrap();
            shelf.holds.let_go(position);
            shelf.put_back(held.letter.clone(), shelf.epoch());
        }
        assert_eq!(take(&mut shelf, NOW), ["-1", "-2"]);
        let (one, other, epoch) =
            (shelf.holds.grip(1, 7).unwrap(), shelf.holds.grip(2, 7).unwrap(), shelf.epoch());
        drop(shelf.clear(Consuming::No { not_before: NOW }));
        shelf.put_back(one.letter.clone(), epoch);
        shelf.hold_again(other, epoch);
        assert!(take(&mut shelf, NOW).is_empty(), "the server hands them out again");
        assert!(shelf.holds.held(2, 7).is_none());
    }

    #[test]
    fn what_is_past_its_time_to_live_is_not_handed_out() {
        let mut short = Arc::into_inner(main_lane("-1", 1)).unwrap();
        let message = (*short.envelope.message).clone();
        short.envelope.message = Arc::new(Message { expires_at: Some(NOW), ..message });
        let mut shelf = shelf(false, [Arc::new(short), main_lane("-2", 2)]);
        let found = shelf.take(10, NOW + Duration::from_secs(1), 7, NOW);
        assert_eq!((found.taken, found.expired.len()), (vec![2], 1));
        shelf.holds.grip(2, 7).unwrap();
        shelf.holds.let_go(2);
        assert!(!shelf.holds.is_empty(), "its channel is needed until it is settled");
    }
}
