//! Who waits for messages of a queue, and how many are asked of SQS for them: no more than somebody waits for.

use std::collections::VecDeque;
use std::time::Duration;

use forebay_core::limits;
use forebay_core::time::Instant;

/// One who waits.
struct Waiter {
    turn: u64,
    count_max: usize,
    wait_until: Instant,
}

/// A request for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    number: u64,
    pub(crate) count: usize,
    /// How long it waits for them.
    pub(crate) wait: Duration,
}

/// Those who wait, and the requests on their way.
#[derive(Default)]
pub(crate) struct Waiting {
    waiters: VecDeque<Waiter>,
    turn_next: u64,
    /// Requests begun so far: their numbers.
    begun: u64,
    /// The latest number of one that has been answered.
    answered: u64,
    /// Messages asked for by those that are not.
    asked: usize,
    /// How many these are.
    requests: usize,
    /// Of these, how many wait at SQS: they are answered at once when something is there.
    patient: usize,
    /// How many make requests, those between two of them included.
    pollers: usize,
    /// Why the last request came to nothing, if it did.
    pub(crate) trouble: Option<String>,
    /// When somebody last waited.
    pub(crate) used_at: Instant,
}

impl Waiting {
    /// One more waits; its turn, and the number of the first request that was begun for it.
    pub(crate) fn enter(&mut self, count_max: usize, wait_until: Instant) -> (u64, u64) {
        self.turn_next += 1;
        self.waiters.push_back(Waiter { turn: self.turn_next, count_max, wait_until });
        (self.turn_next, self.begun + 1)
    }

    pub(crate) fn leave(&mut self, turn: u64) {
        self.waiters.retain(|waiter| waiter.turn != turn);
    }

    pub(crate) fn is_first(&self, turn: u64) -> bool {
        self.waiters.front().is_some_and(|waiter| waiter.turn == turn)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// Whether a request of this number or a later one has been answered.
    pub(crate) fn has_answered(&self, number: u64) -> bool {
        self.answered >= number
    }

    /// Whether a request waits at SQS.
    pub(crate) fn is_patient(&self) -> bool {
        self.patient > 0
    }

    /// One more may make requests, for so many messages each: those who are between two do not suffice for what is wanted
    /// beyond what lies here free.
    pub(crate) fn hire(&mut self, pollers_max: usize, count_max: usize, free: usize) -> bool {
        let between = self.pollers.saturating_sub(self.requests);
        let hired = self.pollers < pollers_max && self.wanted(free) > between * count_max;
        self.pollers += usize::from(hired);
        hired
    }

    fn wanted(&self, free: usize) -> usize {
        let counts = self.waiters.iter().map(|waiter| waiter.count_max);
        counts.sum::<usize>().min(limits::RECEIVE_DELIVERIES_MAX).saturating_sub(self.asked + free)
    }

    /// The next request; `None` where nothing is wanted, and who asks makes none any more. It waits in whole seconds, and not
    /// beyond the time of the most patient.
    pub(crate) fn ask(
        &mut self,
        poll_max: Duration,
        count_max: usize,
        free: usize,
        now: Instant,
    ) -> Option<Asked> {
        let count = self.wanted(free).min(count_max);
        if count == 0 {
            self.pollers = self.pollers.saturating_sub(1);
            return None;
        }
        let left = self.waiters.iter().map(|waiter| waiter.wait_until.since(now)).max().unwrap_or_default();
        let wait = Duration::from_secs(left.min(poll_max).as_secs());
        self.begun += 1;
        self.asked += count;
        self.requests += 1;
        self.patient += usize::from(!wait.is_zero());
        Some(Asked { number: self.begun, count, wait })
    }

    /// It has been answered, or came to nothing.
    pub(crate) fn answer(&mut self, asked: Asked, trouble: Option<String>) {
        self.asked = self.asked.saturating_sub(asked.count);
        self.requests = self.requests.saturating_sub(1);
        self.patient = self.patient.saturating_sub(usize::from(!asked.wait.is_zero()));
        self.answered = self.answered.max(asked.number);
        self.trouble = trouble;
    }

    /// Who made requests ends without having been told that nothing is wanted.
    pub(crate) fn dismiss(&mut self) {
        self.pollers = self.pollers.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_ms(1_000_000);

    #[test]
    fn no_more_is_asked_for_than_somebody_waits_for() {
        let mut waiting = Waiting::default();
        assert!(!waiting.hire(4, 10, 0));
        waiting.enter(12, NOW + Duration::from_millis(2_900));
        waiting.enter(5, NOW);
        assert!(waiting.hire(4, 10, 0) && waiting.hire(4, 10, 0) && !waiting.hire(4, 10, 0), "two suffice");
        let first = waiting.ask(Duration::from_secs(20), 10, 0, NOW).unwrap();
        assert_eq!((first.count, first.wait), (10, Duration::from_secs(2)));
        let second = waiting.ask(Duration::from_secs(1), 10, 4, NOW).unwrap();
        assert_eq!((second.count, second.wait), (3, Duration::from_secs(1)));
        assert_eq!(waiting.ask(Duration::ZERO, 10, 4, NOW), None, "all is on its way or here");
        assert!(!waiting.hire(4, 10, 4));
        assert!(waiting.is_patient());
        waiting.answer(second, None);
        waiting.answer(first, None);
        assert!(!waiting.is_patient());
        assert!(waiting.hire(4, 10, 4) && !waiting.hire(4, 10, 4), "who has been answered asks again");
        waiting.enter(30, NOW);
        assert!(waiting.hire(3, 10, 4) && !waiting.hire(3, 10, 4), "no more than may be");
    }

    #[test]
    fn an_answer_counts_for_those_who_waited_when_it_was_asked_for() {
        let mut waiting = Waiting::default();
        let (first, number) = waiting.enter(1, NOW);
        waiting.hire(1, 10, 0);
        let asked = waiting.ask(Duration::ZERO, 10, 0, NOW).unwrap();
        let (second, later) = waiting.enter(1, NOW);
        waiting.answer(asked, None);
        assert!(waiting.has_answered(number) && !waiting.has_answered(later));
        assert!(waiting.is_first(first) && !waiting.is_first(second));
        waiting.leave(first);
        assert!(waiting.is_first(second));
    }
}
