//! Whose turn it is among the consumers of a queue: those of the greatest priority that may have more, and where the
//! queue has a single active consumer, that one.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

/// The consumers of one queue.
#[derive(Debug)]
pub(crate) struct Turns {
    seats: Mutex<Seats>,
    turn: watch::Sender<Turn>,
}

#[derive(Debug, Default)]
struct Seats {
    is_single: bool,
    last: u64,
    /// The priorities of all consumers, by the order in which they came.
    taken: BTreeMap<u64, i64>,
    /// How many of each priority may have more.
    willing: BTreeMap<i64, usize>,
    active: Option<u64>,
    is_over: bool,
}

/// Who may take something now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Turn {
    /// Only who has this priority; `None`: nobody may have more.
    top: Option<i64>,
    /// Only this one.
    only: Option<u64>,
    /// Everybody, to learn that the queue is gone.
    is_over: bool,
}

impl Turns {
    pub(crate) fn new(is_single: bool) -> Arc<Self> {
        let seats = Mutex::new(Seats { is_single, ..Seats::default() });
        Arc::new(Self { seats, turn: watch::Sender::new(Turn::default()) })
    }

    /// A consumer comes. It leaves when its seat is dropped.
    pub(crate) fn join(self: &Arc<Self>, priority: i64) -> Seat {
        let number = self.change(|seats| {
            seats.last += 1;
            seats.taken.insert(seats.last, priority);
            seats.last
        });
        Seat { turns: Arc::clone(self), number, priority, is_willing: false }
    }

    /// The queue is gone: whoever asks it learns that.
    pub(crate) fn end(&self) {
        self.change(|seats| seats.is_over = true);
    }

    fn change<T>(&self, change: impl FnOnce(&mut Seats) -> T) -> T {
        let mut seats = self.seats.lock();
        let changed = change(&mut seats);
        if seats.is_single && !seats.active.is_some_and(|active| seats.taken.contains_key(&active)) {
            // The first of the greatest priority.
            let next = seats.taken.iter().max_by_key(|(number, priority)| (**priority, u64::MAX - **number));
            seats.active = next.map(|(number, _)| *number);
        }
        let top = seats.willing.last_key_value().map(|(priority, _)| *priority);
        let (only, is_over) = (seats.active, seats.is_over);
        // A queue with a single active consumer asks nobody else, whatever they would take.
        let turn = Turn { top: top.filter(|_| only.is_none()), only, is_over };
        self.turn.send_if_modified(|present| std::mem::replace(present, turn) != turn);
        changed
    }
}

/// A consumer among those of its queue.
#[derive(Debug)]
pub(crate) struct Seat {
    turns: Arc<Turns>,
    number: u64,
    priority: i64,
    is_willing: bool,
}

impl Seat {
    /// Says whether the consumer may have more; those of lower priorities wait meanwhile.
    pub(crate) fn set_willing(&mut self, is_willing: bool) {
        if std::mem::replace(&mut self.is_willing, is_willing) == is_willing {
            return;
        }
        self.turns.change(|seats| {
            let count = seats.willing.entry(self.priority).or_default();
            *count = if is_willing { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                seats.willing.remove(&self.priority);
            }
        });
    }

    /// Asks for something whenever it is this consumer's turn, until it got an answer; `None` once the queue is gone, and
    /// another may have its name. `ask` must take nothing when it is dropped.
    pub(crate) fn in_turn<T, F: Future<Output = T>, A: Fn() -> F>(
        &self,
        ask: A,
    ) -> impl Future<Output = Option<T>> + use<T, F, A> {
        let (mut turn, number, priority) = (self.turns.turn.subscribe(), self.number, self.priority);
        let is_mine = move |turn: &Turn| {
            turn.is_over || turn.only.map_or(turn.top == Some(priority), |only| only == number)
        };
        async move {
            loop {
                if turn.wait_for(is_mine).await.ok()?.is_over {
                    return None;
                }
                tokio::select! {
                    biased;
                    lost = turn.wait_for(|turn| !is_mine(turn)) => drop(lost.ok()?),
                    answer = ask() => return Some(answer),
                }
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.set_willing(false);
        self.turns.change(|seats| seats.taken.remove(&self.number));
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::future::FutureExt;

    use super::*;

    fn has_turn(seat: &Seat) -> bool {
        pin!(seat.in_turn(|| std::future::ready(()))).now_or_never().is_some()
    }

    #[test]
    fn the_greatest_priority_that_may_have_more_has_the_turn() {
        let turns = Turns::new(false);
        let (mut low, mut high, mut other) = (turns.join(-1), turns.join(7), turns.join(7));
        low.set_willing(true);
        assert!(has_turn(&low));
        high.set_willing(true);
        other.set_willing(true);
        assert!(!has_turn(&low) && has_turn(&high) && has_turn(&other));
        drop(high);
        assert!(!has_turn(&low));
        other.set_willing(false);
        assert!(has_turn(&low));
    }

    #[test]
    fn who_loses_the_turn_while_it_waits_asks_again_when_it_has_it_back() {
        let turns = Turns::new(false);
        let (mut low, mut high) = (turns.join(0), turns.join(1));
        low.set_willing(true);
        let asked = std::cell::Cell::new(0);
        let mut wait = pin!(low.in_turn(|| {
            asked.set(asked.get() + 1);
            std::future::pending::<()>()
        }));
        assert!(wait.as_mut().now_or_never().is_none());
        high.set_willing(true);
        assert!(wait.as_mut().now_or_never().is_none());
        high.set_willing(false);
        assert!(wait.as_mut().now_or_never().is_none());
        assert_eq!(asked.get(), 2);
    }

    #[test]
    fn a_single_active_consumer_stays_it_until_it_leaves_and_the_greatest_priority_follows() {
        let turns = Turns::new(true);
        let (mut first, second, third) = (turns.join(0), turns.join(0), turns.join(5));
        assert!(has_turn(&first) && !has_turn(&second) && !has_turn(&third));
        first.set_willing(true);
        drop(first);
        assert!(has_turn(&third) && !has_turn(&second));
        drop(third);
        assert!(has_turn(&second));
    }

    #[test]
    fn everybody_learns_of_the_end() {
        let turns = Turns::new(true);
        let seats = [turns.join(0), turns.join(1)];
        turns.end();
        assert!(seats.iter().all(has_turn));
    }
}
