//! Waiting no longer than until a moment, and outliving what panics.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;

use forebay_core::ports::clock::Clock;
use forebay_core::time::Instant;

/// What `future` brings, if it does so before `at`.
pub(crate) async fn within<F: Future>(clock: &dyn Clock, at: Instant, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut late = clock.sleep_until(at);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => late.as_mut().poll(context).map(|()| None),
    })
    .await
}

/// What `future` brings, `None` if it panics.
pub(crate) async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(move |context| {
        // A future that has panicked is not polled again.
        let future: Pin<&mut F> = future.as_mut();
        match catch_unwind(AssertUnwindSafe(|| future.poll(context))) {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}
