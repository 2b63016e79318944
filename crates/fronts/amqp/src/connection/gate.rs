//! Publishes of a connection that must wait, because the queues take nothing for want of memory or disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel, Ordering::Acquire};

use tokio::sync::Notify;

/// How many of them there are.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    waiting: AtomicUsize,
    changed: Notify,
}

impl Gate {
    /// One more waits, until the pass is dropped.
    pub(crate) fn wait(self: &Arc<Self>) -> Pass {
        if self.waiting.fetch_add(1, AcqRel) == 0 {
            self.changed.notify_one();
        }
        Pass(Arc::clone(self))
    }

    /// Whether any waits.
    pub(crate) fn is_shut(&self) -> bool {
        self.waiting.load(Acquire) > 0
    }

    /// Is ready once that may have changed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// A publish that waits.
#[derive(Debug)]
pub(crate) struct Pass(Arc<Gate>);

impl Drop for Pass {
    fn drop(&mut self) {
        if self.0.waiting.fetch_sub(1, AcqRel) == 1 {
            self.0.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::FutureExt;

    use super::*;

    #[test]
    fn the_gate_is_shut_while_anything_waits_and_says_when_that_changes() {
        let gate = Arc::new(Gate::default());
        assert!(!gate.is_shut() && gate.changed().now_or_never().is_none());
        let (one, other) = (gate.wait(), gate.wait());
        assert!(gate.is_shut() && gate.changed().now_or_never().is_some());
        drop(one);
        assert!(gate.is_shut() && gate.changed().now_or_never().is_none());
        drop(other);
        assert!(!gate.is_shut() && gate.changed().now_or_never().is_some());
    }
}
