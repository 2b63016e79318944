//! How long the reader waits for the servers before it takes itself for deaf. No I/O here.

use std::time::Duration;

use forebay_core::limits::kafka as limits;
use tokio::time::Instant;

/// What one consumer waits for, and until when.
pub(super) struct Patience {
    /// When something came last, or it was known that there is nothing. `None`: it has not joined yet.
    heard_at: Option<Instant>,
    /// The servers have said that there is something more.
    is_told: bool,
    until: Instant,
}

impl Patience {
    /// How long an answer may take by which the reader joins. Nobody who calls waits for that longer than for a call, so it can
    /// be more than a call has: else a busy server would be left just before it answers, again and again.
    pub(super) fn to_join(call: Duration) -> Duration {
        call.max(limits::BUS_JOIN_MIN)
    }

    /// Of a consumer that is to show what there is. That has one end, whatever the client says meanwhile.
    pub(super) fn to_hear(call: Duration, now: Instant) -> Self {
        Self { heard_at: None, is_told: false, until: now + Self::to_join(call) }
    }

    /// An entry came, or there is none to come.
    pub(super) fn hear(&mut self, now: Instant) {
        self.heard_at = Some(now);
        self.ask_later(now);
    }

    /// Nothing more is to come now, as far as the servers say.
    pub(super) fn ask_later(&mut self, now: Instant) {
        self.is_told = false;
        self.until = now + limits::BUS_SILENCE;
    }

    /// The servers say that there is something more: it may be on its way. False if they have said so before and it never came.
    pub(super) fn expect(&mut self, call: Duration, now: Instant) -> bool {
        self.until = now + Self::to_join(call);
        !std::mem::replace(&mut self.is_told, true)
    }

    pub(super) fn has_joined(&self) -> bool {
        self.heard_at.is_some()
    }

    /// When to do something about it that nothing comes.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// Whether a call that has given up waiting proves that the consumer is deaf: not if that has heard something meanwhile,
    /// as one that has just joined. It would never get further on a busy machine.
    pub(super) fn is_over(&self, call: Duration, now: Instant) -> bool {
        self.heard_at.is_some_and(|at| now.duration_since(at) >= call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Duration = Duration::from_millis(100);

    #[test]
    fn whoever_joins_has_more_time_than_a_short_call_and_no_less_than_a_long_one() {
        let (now, long) = (Instant::now(), limits::BUS_JOIN_MIN * 2);
        assert_eq!(Patience::to_hear(CALL, now).until(), now + limits::BUS_JOIN_MIN);
        assert_eq!(Patience::to_hear(long, now).until(), now + long);
        assert!(!Patience::to_hear(CALL, now).has_joined());
    }

    #[test]
    fn what_comes_begins_a_silence_that_can_be_asked_about() {
        let now = Instant::now();
        let mut patience = Patience::to_hear(CALL, now);
        for at in [now + CALL, now + CALL * 2] {
            patience.hear(at);
            assert!(patience.has_joined());
            assert_eq!(patience.until(), at + limits::BUS_SILENCE);
        }
        patience.ask_later(now + CALL * 5);
        assert_eq!(patience.until(), now + CALL * 5 + limits::BUS_SILENCE);
    }

    #[test]
    fn what_there_is_may_be_on_its_way_once() {
        let now = Instant::now();
        let mut patience = Patience::to_hear(CALL, now);
        patience.hear(now);
        for comes in [Patience::hear, Patience::ask_later] {
            assert!(patience.expect(CALL, now));
            assert_eq!(patience.until(), now + limits::BUS_JOIN_MIN);
            comes(&mut patience, now);
        }
        assert!(patience.expect(CALL, now));
        assert!(!patience.expect(CALL, now), "it did not come");
    }

    #[test]
    fn a_call_that_gave_up_proves_nothing_about_who_joined_or_heard_something_meanwhile() {
        let now = Instant::now();
        let mut patience = Patience::to_hear(CALL, now);
        assert!(!patience.is_over(CALL, now + CALL * 3), "it has its own end");
        patience.hear(now + CALL * 3);
        assert!(!patience.is_over(CALL, now + CALL * 4 - Duration::from_millis(1)));
        assert!(patience.is_over(CALL, now + CALL * 4));
        patience.ask_later(now + CALL * 4);
        assert!(
            patience.is_over(CALL, now + CALL * 4),
            "there was nothing, and that was before the call's end"
        );
    }
}
