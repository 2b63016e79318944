//! Who holds what of a queue that this process hands out itself: until when, and what is being settled meanwhile. Pure: no
//! I/O, and the present is an argument.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use forebay_core::limits;
use forebay_core::time::Instant;

/// Where a letter is in what a process has handed out: the number by which its delivery is known.
pub type Position = u64;

/// A letter in a consumer's hands.
#[derive(Debug)]
pub struct Held<L> {
    /// What is held.
    pub letter: Arc<L>,
    /// Which of its deliveries this is.
    pub token: u32,
    /// When it runs out.
    pub until: Instant,
    /// It was offered as run out, and is offered again at `until`.
    pub offered: bool,
}

impl<L> Clone for Held<L> {
    fn clone(&self) -> Self {
        Self { letter: self.letter.clone(), ..*self }
    }
}

/// What is being settled.
struct Gripped<L> {
    letter: Option<Arc<L>>,
    /// Where it is among the ends of holds, if it was held.
    end: Option<Instant>,
}

/// All that is held of a queue, or being settled. As large as what was handed out.
pub struct Holds<L> {
    held: HashMap<Position, Held<L>>,
    /// Of all that is held, also while it is being settled: it may be held again.
    ends: BTreeSet<(Instant, Position)>,
    gripped: HashMap<Position, Gripped<L>>,
}

impl<L> Default for Holds<L> {
    fn default() -> Self {
        Self { held: HashMap::new(), ends: BTreeSet::new(), gripped: HashMap::new() }
    }
}

impl<L> Holds<L> {
    /// Somebody has taken it, or holds it as before.
    pub fn hold(&mut self, position: Position, held: Held<L>) {
        self.ends.insert((held.until, position));
        self.held.insert(position, held);
    }

    /// The letter that is held by this token.
    pub fn held(&self, position: Position, token: u32) -> Option<&Held<L>> {
        self.at(position).filter(|held| held.token == token)
    }

    /// A held letter by its position alone.
    pub fn at(&self, position: Position) -> Option<&Held<L>> {
        self.held.get(&position)
    }

    /// Takes a held letter out to settle it: nobody finds it held until it is held again.
    pub fn grip(&mut self, position: Position, token: u32) -> Option<Held<L>> {
        self.held(position, token)?;
        let held = self.held.remove(&position)?;
        let gripped = Gripped { letter: Some(held.letter.clone()), end: Some(held.until) };
        self.gripped.insert(position, gripped);
        Some(held)
    }

    /// Something is done with what was not held. With its letter, it counts among those that are being settled.
    pub fn busy_with(&mut self, position: Position, letter: Option<Arc<L>>) {
        self.gripped.insert(position, Gripped { letter, end: None });
    }

    /// What was gripped is settled, or is to be held again.
    pub fn let_go(&mut self, position: Position) {
        if let Some(Gripped { end: Some(end), .. }) = self.gripped.remove(&position) {
            self.ends.remove(&(end, position));
        }
    }

    /// Holds a delivery until then; `None` if it is not held, or was offered as run out.
    pub fn extend(&mut self, position: Position, token: u32, until: Instant) -> Option<Instant> {
        let held = self.held.get_mut(&position).filter(|held| held.token == token && !held.offered)?;
        self.ends.remove(&(held.until, position));
        held.until = until;
        self.ends.insert((until, position));
        Some(until)
    }

    /// When the next hold runs out.
    pub fn next_end(&self) -> Option<Instant> {
        self.ends.first().map(|(at, _)| *at)
    }

    /// Up to so many holds that have run out by now; each is offered again after a grace.
    pub fn run_out(&mut self, count_max: usize, now: Instant) -> Vec<Position> {
        let due: Vec<_> =
            self.ends.iter().take_while(|(at, _)| *at <= now).take(count_max).copied().collect();
        let mut positions = Vec::new();
        for (at, position) in due {
            self.ends.remove(&(at, position));
            let next = now + limits::EXPIRED_GRACE;
            if let Some(held) = self.held.get_mut(&position) {
                (held.offered, held.until) = (true, next);
                positions.push(position);
            } else if let Some(gripped) = self.gripped.get_mut(&position) {
                // As good as settled; if it is held again instead, it is looked at then.
                gripped.end = Some(next);
            } else {
                continue;
            }
            self.ends.insert((next, position));
        }
        positions
    }

    /// Takes out what is being settled, which goes on when all holds have gone.
    #[must_use]
    pub fn take_gripped(&mut self) -> Self {
        let mut gripped = std::mem::take(&mut self.gripped);
        gripped.values_mut().for_each(|gripped| gripped.end = None);
        Self { gripped, ..Self::default() }
    }

    /// Forgets such letters, held or being settled.
    pub fn forget(&mut self, is_gone: impl Fn(&L) -> bool) {
        for (position, held) in self.held.extract_if(|_, held| is_gone(&held.letter)) {
            self.ends.remove(&(held.until, position));
        }
        let is_gone = |gripped: &Gripped<L>| gripped.letter.as_ref().is_some_and(|letter| is_gone(letter));
        for (position, gripped) in self.gripped.extract_if(|_, gripped| is_gone(gripped)) {
            gripped.end.map(|end| self.ends.remove(&(end, position)));
        }
    }

    /// The letters that are held.
    pub fn held_letters(&self) -> impl Iterator<Item = &Arc<L>> {
        self.held.values().map(|held| &held.letter)
    }

    /// The letters that are being settled.
    pub fn gripped_letters(&self) -> impl Iterator<Item = &Arc<L>> {
        self.gripped.values().filter_map(|gripped| gripped.letter.as_ref())
    }

    /// Nobody holds anything, and nothing is being settled.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty() && self.gripped.is_empty()
    }

    /// How many are held or being settled.
    pub fn count(&self) -> usize {
        self.held.len() + self.gripped.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Instant = Instant::from_ms(1_000_000);

    /// Letter 1 is held until then by token 7.
    fn holds(until: Instant) -> Holds<&'static str> {
        let mut holds = Holds::default();
        holds.hold(1, Held { letter: Arc::new("letter"), token: 7, until, offered: false });
        holds
    }

    #[test]
    fn a_hold_is_told_by_its_token_and_offered_when_it_runs_out() {
        let end = NOW + Duration::from_secs(30);
        let mut holds = holds(end);
        assert!(holds.held(1, 8).is_none() && holds.grip(1, 8).is_none());
        assert!(holds.run_out(10, NOW).is_empty());
        let extended = end + Duration::from_secs(5);
        assert_eq!(holds.extend(1, 7, extended), Some(extended));
        assert!(holds.run_out(10, end).is_empty());
        assert_eq!(holds.run_out(10, extended), [1]);
        assert_eq!(holds.extend(1, 7, extended), None, "it was offered");
        assert!(holds.run_out(10, extended).is_empty());
        assert_eq!(holds.run_out(10, extended + limits::EXPIRED_GRACE), [1]);
        assert!(holds.grip(1, 7).is_some(), "it is held still");
    }

    #[test]
    fn a_hold_whose_settling_comes_to_nothing_is_offered_though_it_ran_out_meanwhile() {
        let mut holds = holds(NOW);
        let held = holds.grip(1, 7).unwrap();
        assert!(holds.run_out(10, NOW).is_empty(), "it is being settled");
        let next = holds.next_end().expect("whoever waits for ends looks again");
        holds.let_go(1);
        holds.hold(1, held);
        assert_eq!(holds.run_out(10, next), [1]);
        assert!(holds.grip(1, 7).is_some());
        holds.let_go(1);
        assert_eq!((holds.next_end(), holds.count()), (None, 0), "it was settled");
    }

    #[test]
    fn what_is_let_go_after_all_holds_have_gone_has_no_end() {
        let mut holds = holds(NOW);
        holds.grip(1, 7).unwrap();
        let mut holds = holds.take_gripped();
        assert_eq!((holds.next_end(), holds.count()), (None, 1));
        holds.let_go(1);
        assert_eq!((holds.next_end(), holds.count()), (None, 0));
    }

    #[test]
    fn what_is_forgotten_is_neither_held_nor_settled_and_has_no_end() {
        let mut holds = holds(NOW);
        let held = |letter| Held { letter: Arc::new(letter), token: 7, until: NOW, offered: false };
        holds.hold(2, held("letter"));
        holds.hold(3, held("other"));
        holds.busy_with(4, Some(Arc::new("letter")));
        holds.busy_with(5, None);
        holds.grip(2, 7).unwrap();
        holds.forget(|letter| *letter == "letter");
        assert_eq!(holds.held_letters().count() + holds.gripped_letters().count(), 1);
        assert_eq!(holds.run_out(10, NOW), [3]);
        assert_eq!(holds.count(), 2, "of the fifth nobody knows what it is");
    }
}
