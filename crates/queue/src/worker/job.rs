//! One message in its handler's hands: held by a heartbeat, guarded against panics, settled at the end.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use forebay_core::delivery::{DeliveryId, End};
use forebay_core::error::Retry;
use forebay_core::limits;
use forebay_core::queue::QueueName;

use super::options::Failure;
use crate::queues::Queues;
use crate::race::{First, race};

/// One message in its handler's hands.
pub(super) struct Job {
    pub(super) queues: Queues,
    pub(super) queue: QueueName,
    pub(super) id: DeliveryId,
    pub(super) hold: Duration,
    pub(super) time_limit: Option<Duration>,
}

impl Job {
    /// Runs the handler to its end, keeps the hold meanwhile, and settles.
    pub(super) async fn run<F>(&self, handler: F)
    where
        F: Future<Output = std::result::Result<(), Failure>> + Send,
    {
        let mut work = pin!(async {
            // Inside the guard against panics, because a handler that is cut off may panic as it is dropped.
            match unwound(self.in_time(handler)).await {
                Some(Some(Ok(()))) => self.settle(End::Acked, None).await,
                Some(Some(Err(failure))) => self.settle(failure.end, Some(&failure.note)).await,
                Some(None) => self.settle(End::Failed, Some("the handler ran out of time")).await,
                None => self.settle(End::Failed, Some("the handler panicked")).await,
            }
        });
        if let First::Right(()) = race(work.as_mut(), self.heartbeat()).await {
            // The hold is lost, but a handler is never cut off half-way: settling will say that it came too late.
            work.await;
        }
    }

    /// The future's output, or `None` if it was cut off at the time limit.
    async fn in_time<F: Future>(&self, future: F) -> Option<F::Output> {
        let Some(time_limit) = self.time_limit else { return Some(future.await) };
        let clock = &self.queues.clock;
        match race(future, clock.sleep_until(clock.now() + time_limit)).await {
            First::Left(output) => Some(output),
            First::Right(()) => None,
        }
    }

    /// Extends the hold at every third of it; returns when the hold is lost.
    async fn heartbeat(&self) {
        let clock = &self.queues.clock;
        let beat = (self.hold / 3).max(Duration::from_millis(1));
        loop {
            clock.sleep_until(clock.now() + beat).await;
            match self.queues.extend(&self.queue, self.id, self.hold).await {
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(error) if error.retry() == Retry::Later => {}
                Err(_) => return,
            }
        }
    }

    /// Settles, again and again within a bound: a finished work whose acknowledgement is lost is done twice.
    async fn settle(&self, end: End, note: Option<&str>) {
        let clock = &self.queues.clock;
        for _ in 0..limits::SETTLE_TRIES_MAX {
            match self.queues.settle(&self.queue, self.id, end, note).await {
                Err(error) if error.retry() == Retry::Later => {
                    clock.sleep_until(clock.now() + limits::BROKER_PAUSE).await;
                }
                Ok(_) | Err(_) => return,
            }
        }
    }
}

/// The future's output, or `None` if it panicked.
async fn unwound<F: Future>(future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    // A future that has panicked is dropped and never polled again, so nobody sees it half-way through a step.
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}
