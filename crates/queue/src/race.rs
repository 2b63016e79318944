//! Waiting for the first of two things, or for all of a few.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// What was ready first.
pub(crate) enum First<A, B> {
    /// The first future, also when both were ready.
    Left(A),
    /// The second one.
    Right(B),
}

/// Polls both and returns what is ready first; the other one is dropped unless the caller kept it.
pub(crate) async fn race<A: Future, B: Future>(left: A, right: B) -> First<A::Output, B::Output> {
    let mut left = pin!(left);
    let mut right = pin!(right);
    poll_fn(|context| {
        if let Poll::Ready(output) = left.as_mut().poll(context) {
            return Poll::Ready(First::Left(output));
        }
        right.as_mut().poll(context).map(First::Right)
    })
    .await
}

/// Polls all until every one is done. For a bounded handful: each wake-up polls every one that is left.
pub(crate) async fn all<F: Future<Output = ()>>(futures: impl Iterator<Item = F>) {
    let mut left: Vec<_> = futures.map(Box::pin).collect();
    poll_fn(|context| {
        left.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if left.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
