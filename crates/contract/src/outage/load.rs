//! What is loaded, as the one who hurts its server sees it, and what became of its calls.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use forebay_core::error::{Error, Kind};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// One publisher, and those who take what it publishes.
pub(super) trait Load: Send + Sync {
    /// Tells it from the others, for who reads why a test failed.
    fn name(&self) -> String;

    /// Whether it is to feel what is done to a server. What is not goes on all the time.
    fn is_hurt(&self) -> bool {
        true
    }

    /// What its calls came to so far.
    fn calls(&self) -> &Calls;

    /// All that grows as long as it goes on, as it is now with so much more of each.
    fn counts(&self, more: u64) -> Vec<u64>;

    /// What was confirmed, and of which not everybody knows who is to.
    fn missing(&self) -> Vec<u64>;

    /// Fails if anything was lost or came otherwise than was promised. All of it has come.
    fn check(&self) -> Seen;

    /// True once publishing has ended and all that was confirmed has come.
    fn is_done(&self) -> bool {
        self.calls().ended.load(SeqCst) && self.missing().is_empty()
    }
}

/// What was seen until the end.
pub(super) struct Seen {
    pub(super) confirmed: u64,
    /// What came more than once; of a store what was read.
    pub(super) again: u64,
}

/// What calls came to, and whether more are to be made.
#[derive(Default)]
pub(super) struct Calls {
    pub(super) refused: AtomicU64,
    pub(super) slowest: Mutex<Duration>,
    /// The server is away: a publish is to be refused, however far the others are behind.
    away: AtomicBool,
    /// Nothing more is to be published.
    stop: AtomicBool,
    /// Rung when it may be otherwise than before whether to publish.
    changed: Notify,
    /// Nothing more is published: the last publish was answered, too.
    pub(super) ended: AtomicBool,
}

impl Calls {
    pub(super) fn is_away(&self) -> bool {
        self.away.load(SeqCst)
    }

    pub(super) fn set_away(&self, away: bool) {
        self.away.store(away, SeqCst);
        self.change();
    }

    pub(super) fn is_to_stop(&self) -> bool {
        self.stop.load(SeqCst)
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, SeqCst);
        self.change();
    }

    /// Something was worked on.
    pub(super) fn change(&self) {
        self.changed.notify_one();
    }

    /// Waits for a change since it was waited for the last time.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// A call has ended after so long.
    pub(super) fn took(&self, time: Duration) {
        let mut slowest = self.slowest.lock();
        *slowest = slowest.max(time);
    }

    /// A publish was refused.
    pub(super) fn refuse(&self, error: &Error) {
        only_unavailable(error);
        self.refused.fetch_add(1, SeqCst);
    }
}

/// Fails for every other reason why a call may fail.
pub(super) fn only_unavailable(error: &Error) {
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
}
