//! For how long a broker is left alone that has refused: longer each time, within a bound.

use std::time::Duration;

use forebay_core::limits;

/// The pauses of one who asks again and again.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    /// Refusals since it last answered.
    refusals: u32,
}

impl Pauses {
    /// It has refused once more.
    pub(crate) fn after_refusal(&mut self) -> Duration {
        let doublings = self.refusals.min(31);
        self.refusals = self.refusals.saturating_add(1);
        limits::BROKER_PAUSE.saturating_mul(1 << doublings).min(limits::BROKER_PAUSE_MAX)
    }

    /// It has answered, and is asked at once again.
    pub(crate) fn end(&mut self) {
        self.refusals = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_bound_and_begin_anew_after_an_answer() {
        let mut pauses = Pauses::default();
        let ms: Vec<_> = (0..6).map(|_| pauses.after_refusal().as_millis()).collect();
        assert_eq!(ms, [500, 1_000, 2_000, 4_000, 5_000, 5_000]);
        (0..100).for_each(|_| assert_eq!(pauses.after_refusal(), limits::BROKER_PAUSE_MAX));
        pauses.end();
        assert_eq!(pauses.after_refusal(), limits::BROKER_PAUSE);
    }
}
