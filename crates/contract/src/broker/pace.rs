//! How time passes where a broker is tested: at a word in simulation, really on a server.

use std::time::Duration;

/// The times that the cases are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// A short while, longer than it takes to do a few things one after the other, with a [`quiet`](Self::quiet) for each:
    /// delays, holds and windows are so long.
    pub a_while: Duration,
    /// How much later than its time a thing may happen.
    pub late: Duration,
    /// How long nothing may come until it is sure that nothing is there. Zero: whatever is there is there at once.
    pub quiet: Duration,
    /// How long to wait at most for what must come.
    pub patience: Duration,
    /// A case that must let more time pass than this is passed over.
    pub longest: Duration,
}

impl Pace {
    /// Time that passes at a word, exactly.
    pub const SIMULATED: Self = Self {
        a_while: Duration::from_secs(5),
        late: Duration::from_millis(1),
        quiet: Duration::ZERO,
        patience: Duration::from_secs(5),
        longest: Duration::MAX,
    };

    /// A server on the same machine that answers within milliseconds, when others keep the machine busy as well.
    pub const SERVER: Self = Self {
        a_while: Duration::from_secs(1),
        late: Duration::from_millis(150),
        quiet: Duration::from_millis(150),
        patience: Duration::from_secs(15),
        longest: Duration::from_secs(10),
    };

    /// Whether what is there is there at once.
    pub(crate) fn is_exact(self) -> bool {
        self.quiet.is_zero()
    }
}
