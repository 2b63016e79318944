//! What of a queue lies in this process: what was received and is not yet handed out, and what is held. To SQS all of it is
//! hidden from others for a time that we prolong; what we could not prolong in time is no longer ours.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use forebay_core::limits;
use forebay_core::time::Instant;
use forebay_envelope::envelope::Envelope;

use super::waiting::Waiting;
use crate::message::claims::Claim;

/// Numbers letters in the order in which they came here; no two in one life of the process are the same.
pub(crate) type Position = u64;

/// A message that was received.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) envelope: Envelope,
    /// What claims its payload, if that lies beside SQS.
    pub(crate) claim: Option<Claim>,
    pub(crate) number: Position,
    /// SQS's own id of it.
    pub(crate) id: String,
    /// What SQS knows this reception by.
    pub(crate) receipt: String,
    /// How often SQS has handed it out, this time included.
    pub(crate) count: u32,
    /// SQS handed it out no earlier.
    pub(crate) received_at: Instant,
}

/// A letter that is handed out.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) letter: Arc<Letter>,
    pub(crate) token: u32,
    pub(crate) until: Instant,
    pub(crate) attempt: u32,
    /// It was offered as run out.
    offered: bool,
    /// It is being settled.
    gripped: bool,
    /// SQS is being told for how long it is hidden: nothing else may be said of that.
    hides: bool,
}

/// A letter, and until when it is ours for sure.
#[derive(Clone, Debug)]
pub(crate) struct Ours {
    pub(crate) letter: Arc<Letter>,
    pub(crate) until: Instant,
}

/// What a receiver gets, and what is past its time to live.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) taken: Vec<Position>,
    pub(crate) expired: Vec<Arc<Letter>>,
}

/// What lies here.
pub(crate) struct Shelf {
    ordered: bool,
    /// Everything, with the time until which SQS hides it from others.
    ours: HashMap<Position, Ours>,
    ready: BTreeMap<Position, Arc<Letter>>,
    held: HashMap<Position, Held>,
    /// When holds end.
    ends: BTreeSet<(Instant, Position)>,
    /// How often messages of an ordered queue were given back untouched, by SQS's id.
    given_back: HashMap<String, u32>,
    /// Those who wait, and the requests that are made for them.
    pub(crate) waiting: Waiting,
    /// The queue is no more.
    pub(crate) gone: bool,
}

impl Shelf {
    pub(crate) fn new(ordered: bool) -> Self {
        Self {
            ordered,
            ours: HashMap::new(),
            ready: BTreeMap::new(),
            held: HashMap::new(),
            ends: BTreeSet::new(),
            given_back: HashMap::new(),
            waiting: Waiting::default(),
            gone: false,
        }
    }

    /// A letter has come, and is ours until then.
    pub(crate) fn arrive(&mut self, letter: Letter, until: Instant) {
        let letter = Arc::new(letter);
        self.ours.insert(letter.number, Ours { letter: letter.clone(), until });
        self.ready.insert(letter.number, letter);
    }

    /// Hands out up to so many.
    pub(crate) fn take(&mut self, count_max: usize, until: Instant, token: u32, now: Instant) -> Found {
        self.lapse(now);
        let mut found = Found::default();
        let mut bytes = 0_usize;
        let candidates: Vec<Position> = self.ready.keys().copied().collect();
        for position in candidates {
            let Some(letter) = self.ready.get(&position).cloned() else { continue };
            let size = letter.envelope.message.payload.len();
            let full = !found.taken.is_empty() && bytes + size > limits::RECEIVE_BYTES_MAX;
            if found.taken.len() == count_max || full {
                break;
            }
            self.ready.remove(&position);
            if letter.envelope.message.expires_at.is_some_and(|at| at <= now) {
                found.expired.push(letter);
                continue;
            }
            bytes += size;
            let attempt = self.attempt(&letter);
            let held = Held { letter, token, until, attempt, offered: false, gripped: false, hides: false };
            self.held.insert(position, held);
            self.ends.insert((until, position));
            found.taken.push(position);
        }
        found
    }

    /// Where SQS cannot be told, a retry is a new message that counts on; what came again unsettled counts only when that
    /// has happened so often that it may be the message's doing. In an ordered queue SQS counts, but for what was given back.
    fn attempt(&self, letter: &Letter) -> u32 {
        let again = if self.ordered {
            letter.count.saturating_sub(1 + self.given_back.get(&letter.id).copied().unwrap_or(0))
        } else {
            letter.count.saturating_sub(1 + limits::sqs::UNSETTLED_FREE)
        };
        letter.envelope.attempt().saturating_add(again)
    }

    /// Remembers that a message was given back untouched, so that this is no attempt.
    pub(crate) fn gave_back(&mut self, letter: &Letter) {
        if !self.ordered {
            return;
        }
        if self.given_back.len() >= limits::sqs::GIVEN_BACK_MAX {
            self.given_back.clear();
        }
        *self.given_back.entry(letter.id.clone()).or_default() += 1;
    }

    /// It is deleted and comes no more: what was remembered of it is not needed.
    pub(crate) fn forget(&mut self, letter: &Letter) {
        self.given_back.remove(&letter.id);
    }

    /// A held letter that is not being settled.
    pub(crate) fn held(&self, position: Position, token: u32, now: Instant) -> Option<&Held> {
        let ours = self.ours.get(&position).is_some_and(|ours| ours.until > now);
        self.held.get(&position).filter(|held| held.token == token && !held.gripped && ours)
    }

    /// A held letter by its position alone.
    pub(crate) fn at(&self, position: Position) -> Option<&Held> {
        self.held.get(&position)
    }

    pub(crate) fn grip(
        &mut self,
        position: Position,
        token: u32,
        now: Instant,
    ) -> Option<(Arc<Letter>, u32)> {
        self.lapse(now);
        self.held(position, token, now)?;
        let held = self.held.get_mut(&position)?;
        held.gripped = true;
        Some((held.letter.clone(), held.attempt))
    }

    /// The end of a grip.
    pub(crate) fn let_go(&mut self, position: Position, settled: bool) {
        if settled {
            self.remove(position);
        } else if let Some(held) = self.held.get_mut(&position) {
            (held.gripped, held.hides) = (false, false);
        }
    }

    /// It is not prolonged from now on: SQS is told something else.
    pub(crate) fn hide(&mut self, position: Position) {
        if let Some(held) = self.held.get_mut(&position) {
            held.hides = true;
        }
    }

    /// It is no longer ours.
    pub(crate) fn remove(&mut self, position: Position) {
        self.ours.remove(&position);
        self.ready.remove(&position);
        if let Some(held) = self.held.remove(&position) {
            self.ends.remove(&(held.until, position));
        }
    }

    /// Lets go of all that was not prolonged in time: SQS may have handed it to others.
    pub(crate) fn lapse(&mut self, now: Instant) {
        let lapsed: Vec<Position> =
            self.ours.values().filter(|ours| ours.until <= now).map(|ours| ours.letter.number).collect();
        lapsed.into_iter().for_each(|position| self.remove(position));
    }

    /// All that must be prolonged because it is ours for no longer than until then, also while it is being settled, which may
    /// take long.
    pub(crate) fn to_prolong(&self, before: Instant) -> Vec<Arc<Letter>> {
        let ours = self.ours.values().filter(|ours| ours.until < before);
        let free = ours.filter(|ours| !self.held.get(&ours.letter.number).is_some_and(|held| held.hides));
        free.map(|ours| ours.letter.clone()).collect()
    }

    /// It is ours until then.
    pub(crate) fn prolonged(&mut self, position: Position, until: Instant) {
        if let Some(ours) = self.ours.get_mut(&position) {
            ours.until = ours.until.max(until);
        }
    }

    /// Takes out what is ready and nobody has asked for, to give it back.
    pub(crate) fn take_ready(&mut self) -> Vec<Arc<Letter>> {
        let letters: Vec<_> = self.ready.values().cloned().collect();
        letters.iter().for_each(|letter| self.remove(letter.number));
        letters
    }

    /// Takes out everything.
    pub(crate) fn take_all(&mut self) -> Vec<Arc<Letter>> {
        let letters: Vec<_> = self.ours.values().map(|ours| ours.letter.clone()).collect();
        letters.iter().for_each(|letter| self.remove(letter.number));
        letters
    }

    /// How many lie here ready.
    pub(crate) fn free(&self) -> usize {
        self.ready.len()
    }

    /// Holds a delivery until then; `None` if it is not held, or was offered as run out.
    pub(crate) fn extend(
        &mut self,
        position: Position,
        token: u32,
        until: Instant,
        now: Instant,
    ) -> Option<Instant> {
        self.held(position, token, now).filter(|held| !held.offered)?;
        let held = self.held.get_mut(&position)?;
        self.ends.remove(&(held.until, position));
        held.until = until;
        self.ends.insert((until, position));
        Some(until)
    }

    /// When the next hold runs out.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.ends.first().map(|(at, _)| *at)
    }

    /// The holds that have run out by now; each is offered again after a grace.
    pub(crate) fn run_out(&mut self, count_max: usize, now: Instant) -> Vec<Position> {
        self.lapse(now);
        let due: Vec<_> =
            self.ends.iter().take_while(|(at, _)| *at <= now).take(count_max).copied().collect();
        let mut positions = Vec::new();
        for (at, position) in due {
            self.ends.remove(&(at, position));
            if let Some(held) = self.held.get_mut(&position) {
                held.until = now + limits::EXPIRED_GRACE;
                self.ends.insert((held.until, position));
                // What is being settled is as good as settled.
                if !held.gripped {
                    held.offered = true;
                    positions.push(position);
                }
            }
        }
        positions
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use forebay_core::message::{Message, MessageId};

    use super::*;

    const NOW: Instant = Instant::from_ms(1_000_000);
    const SURE: Duration = Duration::from_secs(30);

    fn letter(id: &str, number: u64, count: u32) -> Letter {
        let message = Message::new(MessageId::given(id).unwrap(), "".into());
        let envelope = Envelope::new(message, NOW);
        let (id, receipt) = (id.into(), format!("r{number}"));
        Letter { envelope, claim: None, number, id, receipt, count, received_at: NOW }
    }

    fn shelf(ids: &[&str]) -> Shelf {
        let mut shelf = Shelf::new(false);
        for (number, id) in ids.iter().enumerate() {
            shelf.arrive(letter(id, number as u64, 1), NOW + SURE);
        }
        shelf
    }

    fn take(shelf: &mut Shelf, now: Instant) -> Vec<String> {
        let found = shelf.take(10, now + Duration::from_secs(5), 7, now);
        let id = |position: &Position| shelf.at(*position).unwrap().letter.id.clone();
        found.taken.iter().map(id).collect()
    }

    #[test]
    fn what_nobody_has_asked_for_can_be_given_back_and_is_gone_from_here() {
        let mut shelf = shelf(&["1", "2", "3"]);
        assert_eq!(shelf.take(1, NOW + SURE, 7, NOW).taken, [0]);
        assert_eq!(shelf.take_ready().len(), 2);
        assert_eq!((shelf.free(), shelf.to_prolong(NOW + SURE * 2).len()), (0, 1));
        assert_eq!((shelf.take_all().len(), shelf.to_prolong(NOW + SURE * 2).len()), (1, 0));
    }

    #[test]
    fn what_was_not_prolonged_in_time_is_no_longer_ours() {
        let mut shelf = shelf(&["1", "2", "3"]);
        shelf.take(2, NOW + SURE * 9, 7, NOW);
        assert_eq!(shelf.to_prolong(NOW + SURE).len(), 0);
        assert_eq!(shelf.to_prolong(NOW + SURE * 2).len(), 3);
        shelf.prolonged(1, NOW + SURE * 2);
        let later = NOW + SURE;
        assert!(shelf.held(0, 7, later).is_none() && shelf.grip(0, 7, later).is_none());
        assert!(shelf.extend(0, 7, later + SURE, later).is_none());
        assert!(shelf.held(1, 7, later).is_some());
        assert!(take(&mut shelf, later).is_empty(), "nor is what was ready");
    }

    #[test]
    fn what_is_being_settled_is_prolonged_unless_it_is_hidden_and_held_again_if_that_fails() {
        let mut shelf = shelf(&["1"]);
        take(&mut shelf, NOW);
        shelf.grip(0, 7, NOW).unwrap();
        assert!(shelf.grip(0, 7, NOW).is_none() && shelf.held(0, 7, NOW).is_none());
        assert_eq!(shelf.to_prolong(NOW + SURE * 2).len(), 1);
        shelf.hide(0);
        assert!(shelf.to_prolong(NOW + SURE * 2).is_empty());
        shelf.let_go(0, false);
        assert!(shelf.held(0, 7, NOW).is_some());
        assert_eq!(shelf.to_prolong(NOW + SURE * 2).len(), 1);
    }

    #[test]
    fn a_hold_is_told_by_its_token_and_offered_when_it_runs_out() {
        let mut shelf = shelf(&["1"]);
        take(&mut shelf, NOW);
        let end = NOW + Duration::from_secs(5);
        assert!(shelf.held(0, 8, NOW).is_none() && shelf.grip(0, 8, NOW).is_none());
        let extended = end + Duration::from_secs(5);
        assert_eq!(shelf.extend(0, 7, extended, NOW), Some(extended));
        assert!(shelf.run_out(10, end).is_empty());
        assert_eq!(shelf.run_out(10, extended), [0]);
        assert_eq!(shelf.extend(0, 7, extended, extended), None, "it was offered");
        assert!(shelf.run_out(10, extended).is_empty());
        assert_eq!(shelf.run_out(10, extended + limits::EXPIRED_GRACE), [0]);
    }

    #[test]
    fn attempts_are_ours_but_a_message_that_is_never_settled_comes_to_an_end_too() {
        let attempt = |ordered: bool, count: u32, given_back: u32| {
            let mut shelf = Shelf::new(ordered);
            let letter = letter("k", 1, count);
            (0..given_back).for_each(|_| shelf.gave_back(&letter));
            shelf.attempt(&letter)
        };
        let free = limits::sqs::UNSETTLED_FREE;
        assert_eq!(
            (attempt(false, 1, 0), attempt(false, 1 + free, 0), attempt(false, 3 + free, 0)),
            (1, 1, 3)
        );
        assert_eq!((attempt(true, 1, 0), attempt(true, 4, 0), attempt(true, 4, 2)), (1, 4, 2));
    }

    #[test]
    fn what_was_given_back_is_remembered_until_the_message_is_deleted() {
        let mut shelf = Shelf::new(true);
        let waits = letter("waits", 1, 3);
        shelf.gave_back(&waits);
        for number in 0..limits::sqs::GIVEN_BACK_MAX as u64 {
            let letter = letter(&format!("done {number}"), number, 2);
            shelf.gave_back(&letter);
            shelf.forget(&letter);
        }
        assert_eq!(shelf.attempt(&waits), 2, "one of its three deliveries was none");
    }

    #[test]
    fn what_is_past_its_time_to_live_is_not_handed_out() {
        let mut shelf = shelf(&["1"]);
        let mut short = letter("2", 7, 1);
        let message = (*short.envelope.message).clone();
        short.envelope.message = Arc::new(Message { expires_at: Some(NOW), ..message });
        shelf.arrive(short, NOW + SURE);
        let found = shelf.take(10, NOW + SURE, 7, NOW);
        assert_eq!((found.taken, found.expired.len()), (vec![0], 1));
    }
}
