//! What of a queue is held: until when, and what happens while it is being settled. Pure.

use std::sync::Arc;

use forebay_core::limits;
use forebay_core::time::Instant;

use super::letter::Letter;
use super::shelf::{Position, Shelf};

/// A letter in a consumer's hands.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) letter: Arc<Letter>,
    pub(crate) token: u32,
    pub(crate) until: Instant,
    /// It was offered as run out, and is offered again at `until`.
    pub(crate) offered: bool,
}

/// What is being settled.
pub(super) struct Gripped {
    pub(super) key: Option<String>,
    /// Where it is among the ends of holds, if it was held.
    end: Option<Instant>,
}

impl Shelf {
    /// Somebody has taken it.
    pub(super) fn hold_anew(&mut self, held: Held) {
        let position = held.letter.number;
        self.ends.insert((held.until, position));
        self.held.insert(position, Arc::new(held));
    }

    pub(crate) fn held(&self, position: Position, token: u32) -> Option<&Arc<Held>> {
        self.held.get(&position).filter(|held| held.token == token)
    }

    /// Takes a held letter out to settle it.
    pub(crate) fn grip(&mut self, position: Position, token: u32) -> Option<Arc<Held>> {
        self.held(position, token)?;
        let held = self.held.remove(&position)?;
        let gripped = Gripped { key: held.letter.key().map(str::to_owned), end: Some(held.until) };
        self.gripped.insert(position, gripped);
        Some(held)
    }

    /// Something is done with a letter that does not lie here.
    pub(super) fn busy_with(&mut self, position: Position) {
        self.gripped.insert(position, Gripped { key: None, end: None });
    }

    /// What was gripped is settled.
    pub(crate) fn let_go(&mut self, position: Position) {
        if let Some(Gripped { end: Some(end), .. }) = self.gripped.remove(&position) {
            self.ends.remove(&(end, position));
        }
    }

    /// What was gripped is held as before, if its channel is still there.
    pub(crate) fn hold(&mut self, held: Arc<Held>, epoch: u64) {
        if epoch == self.epoch() {
            let position = held.letter.number;
            self.ends.insert((held.until, position));
            self.held.insert(position, held);
        }
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
            let next = now + limits::EXPIRED_GRACE;
            if let Some(held) = self.held.get_mut(&position).map(Arc::make_mut) {
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

    /// A held letter by its position alone.
    pub(crate) fn at(&self, position: Position) -> Option<&Held> {
        self.held.get(&position).map(|held| &**held)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::shelf::Consuming;
    use super::super::shelf::tests::{NOW, main_lane, shelf, take};
    use super::*;

    #[test]
    fn a_hold_is_told_by_its_token_and_offered_when_it_runs_out() {
        let mut shelf = shelf(false, [main_lane("-1", 1)]);
        take(&mut shelf, NOW);
        let end = NOW + Duration::from_secs(30);
        assert!(shelf.held(1, 8).is_none() && shelf.grip(1, 8).is_none());
        assert!(shelf.run_out(10, NOW).is_empty());
        let extended = end + Duration::from_secs(5);
        assert_eq!(shelf.extend(1, 7, extended), Some(extended));
        assert!(shelf.run_out(10, end).is_empty());
        assert_eq!(shelf.run_out(10, extended), [1]);
        assert_eq!(shelf.extend(1, 7, extended), None, "it was offered");
        assert!(shelf.run_out(10, extended).is_empty());
        assert_eq!(shelf.run_out(10, extended + limits::EXPIRED_GRACE), [1]);
        assert!(shelf.grip(1, 7).is_some(), "it is held still");
    }

    #[test]
    fn a_hold_whose_settling_comes_to_nothing_is_offered_though_it_ran_out_meanwhile() {
        let mut shelf = shelf(false, [main_lane("-1", 1)]);
        take(&mut shelf, NOW);
        let (end, epoch) = (NOW + Duration::from_secs(30), shelf.epoch());
        let held = shelf.grip(1, 7).unwrap();
        assert!(shelf.run_out(10, end).is_empty(), "it is being settled");
        let next = shelf.next_end().expect("whoever waits for ends looks again");
        shelf.let_go(1);
        shelf.hold(held, epoch);
        assert_eq!(shelf.run_out(10, next), [1]);
        let held = shelf.grip(1, 7).unwrap();
        drop(held);
        shelf.let_go(1);
        assert_eq!(shelf.next_end(), None, "it was settled");
    }

    #[test]
    fn what_is_let_go_after_its_channel_has_no_end() {
        let mut shelf = shelf(false, [main_lane("-1", 1)]);
        take(&mut shelf, NOW);
        shelf.grip(1, 7).unwrap();
        drop(shelf.clear(Consuming::No { not_before: NOW }));
        shelf.let_go(1);
        assert_eq!(shelf.next_end(), None);
    }
}
