//! Reading a request's body: bounded in size, in time and over all connections.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use forebay_core::limits;
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tracing::error;

use crate::errors::{Answer, Refused};
use crate::router::App;

/// Bytes of one unit of the budget that all bodies share.
const UNIT: usize = 1024;

/// The bytes that request bodies may take, all connections together.
pub(crate) struct Budget(Arc<Semaphore>);

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes_max / UNIT)))
    }
}

/// A part of the budget. It is free again once this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Paid(Option<OwnedSemaphorePermit>);

impl Paid {
    /// Pays for `bytes` in all.
    fn raise_to(&mut self, bytes: usize, budget: &Budget) -> Answer<()> {
        let owed = bytes.div_ceil(UNIT) - self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let owed = u32::try_from(owed).unwrap_or(u32::MAX);
        let more = Arc::clone(&budget.0).try_acquire_many_owned(owed).map_err(|_| {
            Refused::for_now(StatusCode::TOO_MANY_REQUESTS, "read request body: too many at once")
        })?;
        match &mut self.0 {
            Some(paid) => paid.merge(more),
            None => self.0 = Some(more),
        }
        Ok(())
    }
}

/// A whole body. It counts against the budget for as long as it is held.
#[derive(Debug, Default)]
pub(crate) struct Held {
    bytes: Vec<u8>,
    paid: Paid,
}

impl Held {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Makes something of the bytes and lets go of them, elsewhere where they are many: the other requests of this
    /// thread need not wait for it. What was paid is for the caller to keep if what was made is as large.
    pub(crate) async fn read<T: Send + 'static>(
        self,
        make: impl FnOnce(&[u8]) -> Answer<T> + Send + 'static,
    ) -> Answer<(T, Paid)> {
        let is_short = self.bytes.len() <= limits::http::BODY_READ_AT_ONCE_BYTES_MAX;
        let Self { bytes, paid } = self;
        let make = move || make(&bytes).map(|made| (made, paid));
        if is_short {
            return make();
        }
        // The body has gone along: it is paid for until the work on it ends, even if nobody waits for that any more.
        spawn_blocking(make).await.unwrap_or_else(|reason| {
            error!(%reason, "reading a request body failed");
            Err(Refused::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "read request body: it could not be finished",
            ))
        })
    }
}

/// Reads the whole body, of at most `bytes_max` bytes.
pub(crate) async fn read(app: &App, headers: &HeaderMap, body: Body, bytes_max: usize) -> Answer<Held> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: usize| length > bytes_max) {
        return Err(too_large(bytes_max));
    }
    let deadline = app.parts.clock.now() + limits::http::BODY_WAIT_MAX;
    tokio::select! {
        held = collect(&app.bodies, body, bytes_max) => held,
        () = app.parts.clock.sleep_until(deadline) => {
            Err(Refused::for_now(StatusCode::REQUEST_TIMEOUT, "read request body: it took too long to arrive"))
        }
    }
}

/// Gathers the body piece by piece, paying for each.
async fn collect(budget: &Budget, mut body: Body, bytes_max: usize) -> Answer<Held> {
    let mut held = Held::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refused::bad_request("read request body: the connection broke off"))?;
        let Ok(piece) = frame.into_data() else { continue };
        let bytes = held.bytes.len() + piece.len();
        if bytes > bytes_max {
            return Err(too_large(bytes_max));
        }
        if bytes > held.bytes.capacity() {
            // An eighth more than there is, so that it is not copied too often; room is paid for like what is in it.
            let room = bytes.max(held.bytes.len() / 8 * 9);
            held.paid.raise_to(room, budget)?;
            held.bytes.reserve_exact(room - held.bytes.len());
        }
        held.bytes.extend_from_slice(&piece);
    }
    Ok(held)
}

fn too_large(bytes_max: usize) -> Refused {
    Refused::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("read request body: it is larger than {bytes_max} bytes"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::sync::mpsc;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use axum::body::{Bytes, HttpBody};
    use hyper::body::Frame;

    const PATIENCE: Duration = Duration::from_secs(10);

    async fn held(budget: &Budget, bytes: usize) -> Answer<Held> {
        collect(budget, Body::from(vec![7; bytes]), usize::MAX).await
    }

    #[tokio::test]
    async fn a_body_counts_for_as_long_as_it_or_what_it_became_is_held() {
        let budget = Budget::new(10 * UNIT);
        let first = held(&budget, 8 * UNIT).await.unwrap();
        assert_eq!(held(&budget, 3 * UNIT).await.unwrap_err().status, 429);
        let (length, paid) = first.read(|bytes| Ok(bytes.len())).await.unwrap();
        assert_eq!(length, 8 * UNIT);
        assert_eq!(held(&budget, 3 * UNIT).await.unwrap_err().status, 429);
        drop(paid);
        assert_eq!(held(&budget, 10 * UNIT).await.unwrap().bytes().len(), 10 * UNIT);
        let first = held(&budget, 8 * UNIT).await.unwrap();
        let refused = first.read(|_| Err::<(), _>(Refused::bad_request("no"))).await;
        assert_eq!(refused.unwrap_err().status, 400);
        assert!(held(&budget, 10 * UNIT).await.is_ok(), "what was refused counts no more");
    }

    /// So many units, one at a time.
    struct Pieces(usize);

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let more = self.0.checked_sub(1);
            Poll::Ready(more.map(|left| {
                self.0 = left;
                Ok(Frame::data(Bytes::from_static(&[7; UNIT])))
            }))
        }
    }

    #[tokio::test]
    async fn a_body_that_grows_takes_no_more_than_it_has_paid_for() {
        let budget = Budget::new(10_000 * UNIT);
        for pieces in [1, 2, 100, 1_025, 2_500] {
            let held = collect(&budget, Body::new(Pieces(pieces)), usize::MAX).await.unwrap();
            assert_eq!(held.bytes.len(), pieces * UNIT);
            let paid = held.paid.0.as_ref().unwrap().num_permits() * UNIT;
            assert!(
                held.bytes.capacity() <= paid && paid <= pieces * UNIT * 9 / 8 + UNIT,
                "{pieces}: {paid}"
            );
        }
    }

    #[tokio::test]
    async fn a_long_body_is_read_while_its_thread_does_other_work() {
        let budget = Budget::new(limits::http::BODIES_BYTES_MAX);
        let long = held(&budget, limits::http::BODY_READ_AT_ONCE_BYTES_MAX + 1).await.unwrap();
        let (tell, told) = mpsc::channel();
        let reading = long.read(move |_| {
            assert!(told.recv_timeout(PATIENCE).is_ok(), "the other work had its turn");
            Ok(())
        });
        let (read, sent) = tokio::join!(reading, async { tell.send(()) });
        assert!(read.is_ok() && sent.is_ok());
    }

    #[tokio::test]
    async fn a_reading_that_panics_is_a_refusal() {
        let budget = Budget::new(limits::http::BODIES_BYTES_MAX);
        let long = held(&budget, limits::http::BODY_READ_AT_ONCE_BYTES_MAX + 1).await.unwrap();
        let refused = long.read::<()>(|_| panic!("on purpose")).await.unwrap_err();
        assert_eq!(refused.status, 500);
    }
}
