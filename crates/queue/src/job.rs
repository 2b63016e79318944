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

use crate::queues::Queues;
use crate::race::{First, race};
use crate::worker::Failure;

/// One message in its handler's hands.
pub(crate) struct Job {
    pub(crate) queues: Queues,
    pub(crate) queue: QueueName,
    pub(crate) id: DeliveryId,
    pub(crate) hold: Duration,
}

impl Job {
    /// Runs the handler to its end, keeps the hold meanwhile, and settles.
    pub(crate) async fn run<F>(&self, handler: F)
    where
        F: Future<Output = std::result::Result<(), Failure>> + Send,
    {
        let mut work = pin!(async {
            match unwound(handler).await {
                Some(Ok(())) => self.settle(End::Acked, None).await,
                Some(Err(failure)) => self.settle(failure.end, Some(&failure.note)).await,
                None => self.settle(End::Failed, Some("the handler panicked")).await,
            }
        });
        if let First::Right(()) = race(work.as_mut(), self.heartbeat()).await {
            // The hold is lost, but a handler is never cut off half-way: settling will say that it came too late.
            work.await;
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
