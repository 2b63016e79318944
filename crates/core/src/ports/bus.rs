//! Notices to all nodes: short messages that everybody who listens hears, or is told of having missed.

pub mod tape;

use super::BoxFuture;
use crate::error::Result;
use crate::payload::Payload;
use crate::time::Instant;

/// A notice's place on its bus. Later notices have greater ones, also after a restart; not every number is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub u64);

impl Position {
    /// Before every notice of every bus.
    pub const START: Self = Self(0);

    /// Where a bus that keeps nothing over a restart begins when it is opened now: beyond all that an earlier life can have
    /// given, with a million positions for every millisecond.
    pub const fn first(now: Instant) -> Self {
        Self(now.as_ms() << 20)
    }
}

/// What a listener hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A notice.
    Notice {
        /// Its place.
        position: Position,
        /// What was published.
        notice: Payload,
    },
    /// Notices after `from`, up to and including `to`, may have been missed and are not heard any more. Where the bus cannot
    /// say since when, or has lost what it once gave, `from` is [`Position::START`]: everything is in doubt.
    Gap {
        /// The last place that is certain.
        from: Position,
        /// From here on it is certain again.
        to: Position,
    },
}

/// What a bus can promise beyond that nothing is lost in silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusCapabilities {
    /// A listener hears notices in the order of their positions, and a gap where its notices would have been.
    pub ordered: bool,
    /// A listener hears each notice at most once.
    pub once: bool,
    /// Keeps some of what was published, so that a listener can begin at a position in the past.
    pub replay: bool,
}

/// Notices to all nodes, with a readable head. It may lose notices, but then says so: each listener, for every position
/// after the one it began at, hears the notice or a gap that covers it.
pub trait Bus: Send + Sync {
    /// What it can do.
    fn capabilities(&self) -> BusCapabilities;

    /// Publishes a notice of at most [`limits::NOTICE_BYTES_MAX`]. `Ok`: everybody who listens hears it, or of a gap.
    /// `TooLarge`: nothing was published. Any other `Err`: it may have been; publishing again may repeat the notice, which
    /// must do no harm. Never waits for listeners.
    ///
    /// [`limits::NOTICE_BYTES_MAX`]: crate::limits::NOTICE_BYTES_MAX
    fn publish(&self, notice: Payload) -> BoxFuture<'_, Result<Position>>;

    /// The place of the newest notice at some moment during this call: whoever has heard everything up to it knows all
    /// that was published before the call. It never goes back, except where the bus has lost what it gave; then every
    /// listener hears of a gap from [`Position::START`].
    fn head(&self) -> BoxFuture<'_, Result<Position>>;

    /// Listens to everything after `after`, or after the present head. The first thing heard is a gap where the bus does not
    /// go on from `after`: too long ago, or never given. `Full`: too many listen.
    fn listen(&self, after: Option<Position>) -> BoxFuture<'_, Result<Box<dyn Listener>>>;
}

/// One who listens to a bus. Dropping it ends that.
pub trait Listener: Send {
    /// Waits for what comes next. Dropping the future before it is ready loses nothing. `Closed`: the bus is, and nothing
    /// more comes. `Unavailable`: it cannot be reached; listening anew after the last position heard loses nothing in
    /// silence.
    fn next(&mut self) -> BoxFuture<'_, Result<Heard>>;
}
