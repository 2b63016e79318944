//! Waiting until a record is durable: as a future of no particular runtime, or blocking.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};
use std::task::{Context, Poll, Waker};

use forebay_core::error::{Error, Kind, Result};
use parking_lot::{Condvar, Mutex};

/// How far the log is durable, and who waits for more.
#[derive(Default)]
pub(crate) struct Progress {
    durable: AtomicU64,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// By sequence, then by a number of its own, so that one pass wakes exactly those that are ready.
    wakers: BTreeMap<(u64, u64), Waker>,
    next: u64,
    blocked: usize,
    end: Option<End>,
}

/// Why no more will become durable.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// A write or sync failed.
    Poisoned(String),
    /// The log was closed in good order.
    Closed,
}

impl End {
    fn error(&self) -> Error {
        match self {
            Self::Poisoned(what) => Error::new(Kind::Poisoned, "make record durable", what.clone()),
            Self::Closed => Error::new(Kind::Closed, "make record durable", "the log is closed"),
        }
    }
}

impl Progress {
    /// The last durable sequence.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Acquire)
    }

    /// Everything up to `sequence` is durable: wakes who waited for it.
    pub(crate) fn advance(&self, sequence: u64) {
        let ready = {
            let mut waiting = self.waiting.lock();
            self.durable.store(sequence, Release);
            if waiting.blocked > 0 {
                self.changed.notify_all();
            }
            let later = waiting.wakers.split_off(&(sequence.saturating_add(1), 0));
            std::mem::replace(&mut waiting.wakers, later)
        };
        ready.into_values().for_each(Waker::wake);
    }

    /// Nothing more becomes durable: wakes everybody. The first reason stays.
    pub(crate) fn finish(&self, end: End) {
        let all = {
            let mut waiting = self.waiting.lock();
            waiting.end.get_or_insert(end);
            self.changed.notify_all();
            std::mem::take(&mut waiting.wakers)
        };
        all.into_values().for_each(Waker::wake);
    }

    /// Blocks until `sequence` is durable or never will be.
    pub(crate) fn wait(&self, sequence: u64) -> Result<()> {
        if self.durable() >= sequence {
            return Ok(());
        }
        let mut waiting = self.waiting.lock();
        waiting.blocked += 1;
        let result = loop {
            if self.durable() >= sequence {
                break Ok(());
            }
            if let Some(end) = &waiting.end {
                break Err(end.error());
            }
            self.changed.wait(&mut waiting);
        };
        waiting.blocked -= 1;
        result
    }
}

/// Is ready once its record is durable, or with an error once it never will be. Dropping it stops nothing.
#[must_use = "a future does nothing unless polled"]
pub struct Durable {
    progress: Arc<Progress>,
    sequence: u64,
    key: Option<(u64, u64)>,
}

impl Durable {
    pub(crate) fn new(progress: Arc<Progress>, sequence: u64) -> Self {
        Self { progress, sequence, key: None }
    }
}

impl Future for Durable {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        if this.progress.durable() >= this.sequence {
            // Whoever moved the mark that far takes the waker out as well.
            this.key = None;
            return Poll::Ready(Ok(()));
        }
        let mut waiting = this.progress.waiting.lock();
        // Looked at again under the lock: `advance` may have passed between.
        if this.progress.durable() >= this.sequence {
            return Poll::Ready(Ok(()));
        }
        if let Some(end) = &waiting.end {
            return Poll::Ready(Err(end.error()));
        }
        let key = *this.key.get_or_insert_with(|| {
            waiting.next += 1;
            (this.sequence, waiting.next)
        });
        match waiting.wakers.get_mut(&key) {
            Some(waker) => waker.clone_from(context.waker()),
            None => drop(waiting.wakers.insert(key, context.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.progress.waiting.lock().wakers.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(durable: &mut Durable) -> Poll<Result<()>> {
        Pin::new(durable).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn only_those_whose_record_is_durable_are_woken() {
        let progress = Arc::new(Progress::default());
        let mut waits: Vec<_> = (1..=10).map(|sequence| Durable::new(progress.clone(), sequence)).collect();
        assert!(waits.iter_mut().all(|wait| poll(wait).is_pending()));
        progress.advance(4);
        assert_eq!(progress.waiting.lock().wakers.len(), 6);
        let ready = waits.iter_mut().filter_map(|wait| poll(wait).is_ready().then_some(wait.sequence));
        assert_eq!(ready.collect::<Vec<_>>(), [1, 2, 3, 4]);
    }

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Count(AtomicU64);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    #[test]
    fn of_many_thousand_waits_each_is_woken_once_and_by_its_last_waker() {
        let progress = Arc::new(Progress::default());
        let (early, late) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let mut waits: Vec<_> =
            (1..=20_000).map(|sequence| Durable::new(progress.clone(), sequence)).collect();
        for count in [&early, &late] {
            let waker = Waker::from(count.clone());
            let mut context = Context::from_waker(&waker);
            assert!(waits.iter_mut().all(|wait| Pin::new(wait).poll(&mut context).is_pending()));
        }
        (500..=20_000).step_by(500).for_each(|sequence| progress.advance(sequence));
        assert_eq!(early.0.load(Acquire), 0);
        assert_eq!(late.0.load(Acquire), 20_000);
        assert!(waits.iter_mut().all(|wait| poll(wait).is_ready()));
    }

    #[test]
    fn a_dropped_wait_leaves_nothing_behind() {
        let progress = Arc::new(Progress::default());
        let mut wait = Durable::new(progress.clone(), 1);
        assert!(poll(&mut wait).is_pending());
        assert!(poll(&mut wait).is_pending());
        assert_eq!(progress.waiting.lock().wakers.len(), 1);
        drop(wait);
        assert!(progress.waiting.lock().wakers.is_empty());
    }

    #[test]
    fn poison_fails_what_waits_and_spares_what_was_durable() {
        let progress = Arc::new(Progress::default());
        progress.advance(1);
        let mut wait = Durable::new(progress.clone(), 2);
        assert!(poll(&mut wait).is_pending());
        progress.finish(End::Poisoned("sync".into()));
        progress.finish(End::Closed);
        assert!(matches!(poll(&mut wait), Poll::Ready(Err(error)) if error.kind() == Kind::Poisoned));
        assert!(progress.wait(1).is_ok());
        assert_eq!(progress.wait(2).unwrap_err().kind(), Kind::Poisoned);
    }
}
