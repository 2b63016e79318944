//! A queue's messages as a stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use forebay_core::error::{Kind, Result};
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_queue::consumer::Consumer;
use futures_core::Stream;

use crate::held::Held;
use crate::queue::Queue;

/// One message after the other. Nothing is taken while it is not polled, and what was taken ahead goes back untouched when
/// it is dropped. After an error it may be polled on; it ends when the queues are closed.
///
/// ```
/// use forebay::ConsumerOptions;
/// use futures_util::StreamExt;
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
/// let orders = forebay.queue("orders").await?;
/// orders.publish_all(["one teapot", "two cups"]).await?;
/// let mut stream = orders.stream(ConsumerOptions::default())?.take(2);
/// while let Some(held) = stream.next().await {
///     held?.ack().await?;
/// }
/// # drop(stream);
/// # assert_eq!(orders.stats().await?.held, 0);
/// # forebay.close().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use = "a stream does nothing unless polled"]
pub struct Deliveries<T = Payload>(Flow<T, Held<T>>);

/// Messages in batches; in all else like [`Deliveries`].
///
/// ```
/// use forebay::ConsumerOptions;
/// use futures_util::StreamExt;
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
/// let orders = forebay.queue("orders").await?;
/// orders.publish_all(["one teapot", "two cups"]).await?;
/// let mut batches = orders.batches(ConsumerOptions::default())?;
/// for held in batches.next().await.expect("open")? {
///     held.ack().await?;
/// }
/// # drop(batches);
/// # assert_eq!(orders.stats().await?.held, 0);
/// # forebay.close().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use = "a stream does nothing unless polled"]
pub struct Batches<T = Payload>(Flow<T, Vec<Held<T>>>);

/// Where a stream's messages come from.
pub(crate) struct Feed<T> {
    pub(crate) consumer: Consumer,
    pub(crate) queue: Queue<T>,
}

/// One step of a stream; it has the feed to itself meanwhile, so that a dropped stream drops the feed wherever it stands.
type Step<T, O> = BoxFuture<'static, (Result<O>, Feed<T>)>;

struct Flow<T, O> {
    state: State<T, O>,
    step: fn(Feed<T>) -> Step<T, O>,
}

enum State<T, O> {
    Idle(Feed<T>),
    Waiting(Step<T, O>),
    Ended,
}

impl<T: Send + 'static> Deliveries<T> {
    pub(crate) fn new(feed: Feed<T>) -> Self {
        Self(Flow { state: State::Idle(feed), step: |feed| Box::pin(feed.one()) })
    }
}

impl<T: Send + 'static> Batches<T> {
    pub(crate) fn new(feed: Feed<T>) -> Self {
        Self(Flow { state: State::Idle(feed), step: |feed| Box::pin(feed.many()) })
    }
}

impl<T: Send + 'static> Feed<T> {
    async fn one(mut self) -> (Result<Held<T>>, Self) {
        loop {
            match self.consumer.next().await {
                Ok(delivery) => {
                    if let Some(held) = self.queue.read_all(vec![delivery]).await.pop() {
                        return (Ok(held), self);
                    }
                }
                Err(error) => return (Err(error), self),
            }
        }
    }

    async fn many(mut self) -> (Result<Vec<Held<T>>>, Self) {
        loop {
            match self.consumer.next_batch().await {
                Ok(deliveries) => {
                    let held = self.queue.read_all(deliveries).await;
                    if !held.is_empty() {
                        return (Ok(held), self);
                    }
                }
                Err(error) => return (Err(error), self),
            }
        }
    }
}

impl<T, O> Flow<T, O> {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<O>>> {
        let mut waiting = match std::mem::replace(&mut self.state, State::Ended) {
            State::Idle(feed) => (self.step)(feed),
            State::Waiting(step) => step,
            State::Ended => return Poll::Ready(None),
        };
        let Poll::Ready((output, feed)) = waiting.as_mut().poll(context) else {
            self.state = State::Waiting(waiting);
            return Poll::Pending;
        };
        if !matches!(&output, Err(error) if error.kind() == Kind::Closed) {
            self.state = State::Idle(feed);
        }
        Poll::Ready(Some(output))
    }
}

impl<T> Stream for Deliveries<T> {
    type Item = Result<Held<T>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(context)
    }
}

impl<T> Stream for Batches<T> {
    type Item = Result<Vec<Held<T>>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(context)
    }
}
