//! How far all changes are durable, and waiting for it: as a future, or by blocking.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use forebay_core::error::{Error, Kind, Result};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::pledges::Pledge;
use tokio::sync::watch;

/// What was attempted, for errors.
const OPERATION: &str = "make pinned result durable";

/// How far it has come.
pub(super) struct Progress(watch::Sender<Reached>);

#[derive(Clone, Debug, Default)]
struct Reached {
    /// All places up to here are durable.
    kept: u64,
    /// Places up to here found no room on the disk.
    full: u64,
    /// Nothing more will be durable, and why.
    end: Option<(Kind, String)>,
}

impl Reached {
    fn verdict(&self, place: u64) -> Option<Result<()>> {
        if self.kept >= place {
            return Some(Ok(()));
        }
        if let Some((kind, why)) = &self.end {
            return Some(Err(Error::new(*kind, OPERATION, why.clone())));
        }
        (self.full >= place).then(|| Err(Error::new(Kind::Full, OPERATION, "no disk space")))
    }
}

impl Progress {
    pub(super) fn new() -> Self {
        Self(watch::Sender::default())
    }

    /// All places up to here are durable.
    pub(super) fn keep(&self, place: u64) {
        self.0.send_modify(|reached| reached.kept = reached.kept.max(place));
    }

    /// Places up to here found no room. They are tried again, but nobody need wait for that.
    pub(super) fn full(&self, place: u64) {
        self.0.send_modify(|reached| reached.full = reached.full.max(place));
    }

    /// Nothing more will be durable. The first reason stays.
    pub(super) fn end(&self, kind: Kind, why: &str) {
        self.0.send_modify(|reached| {
            reached.end.get_or_insert_with(|| (kind, why.to_owned()));
        });
    }

    pub(super) fn has_ended(&self) -> bool {
        self.0.borrow().end.is_some()
    }

    pub(super) fn wait(&self, pledge: Pledge) -> BoxFuture<'static, Result<()>> {
        let mut reached = self.0.subscribe();
        Box::pin(async move {
            let mut verdict = None;
            let seen = reached.wait_for(|reached| {
                verdict = reached.verdict(pledge.0);
                verdict.is_some()
            });
            let gone = seen.await.is_err();
            let closed = || Err(Error::new(Kind::Closed, OPERATION, "the results are closed"));
            verdict.filter(|_| !gone).unwrap_or_else(closed)
        })
    }
}

/// Polls once.
pub(super) fn poll_now<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Wakes a thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks this thread until the future is ready.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_told_of_what_was_reached_of_want_of_room_and_of_the_end() {
        let progress = Progress::new();
        let kinds = |place| match poll_now(progress.wait(Pledge(place))) {
            Poll::Pending => None,
            Poll::Ready(told) => Some(told.map_err(|error| error.kind())),
        };
        progress.keep(2);
        assert_eq!((kinds(2), kinds(3)), (Some(Ok(())), None));
        progress.full(3);
        assert_eq!((kinds(3), kinds(4)), (Some(Err(Kind::Full)), None));
        progress.keep(3);
        assert_eq!(kinds(3), Some(Ok(())));
        progress.end(Kind::Poisoned, "sync failed");
        progress.end(Kind::Closed, "");
        assert_eq!((kinds(3), kinds(4)), (Some(Ok(())), Some(Err(Kind::Poisoned))));
    }

    #[test]
    fn a_thread_that_blocks_goes_on_when_it_is_told() {
        let progress = Progress::new();
        thread::scope(|scope| {
            let waits: Vec<_> = (1..4)
                .map(|place| progress.wait(Pledge(place)))
                .map(|wait| scope.spawn(|| block_on(wait)))
                .collect();
            progress.keep(3);
            assert!(waits.into_iter().all(|wait| wait.join().unwrap().is_ok()));
        });
    }
}
