//! What all parts of the broker share: SQS, the queues that are known, and what runs in the background.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::sqs as limits;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::Clock;
use forebay_core::queue::QueueName;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time;

use crate::message::claims::Claims;
use crate::queue::Queue;
use crate::settings::SqsSettings;
use crate::wire::connect::Wire;

/// The broker itself; its handle closes it.
pub(crate) struct Inner {
    pub(crate) settings: SqsSettings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) wire: Wire,
    pub(crate) claims: Option<Claims>,
    closed: watch::Sender<bool>,
    queues: Mutex<HashMap<QueueName, Arc<Queue>>>,
    errands: mpsc::UnboundedSender<BoxFuture<'static, ()>>,
    /// Notified when a hold began, or changed, that may be the next to run out.
    pub(crate) holds: Notify,
    number: AtomicU64,
}

/// What runs beside the calls: each belongs to a queue or a call, which bound how many there are.
pub(crate) type Errands = mpsc::UnboundedReceiver<BoxFuture<'static, ()>>;

impl Inner {
    pub(crate) fn new(settings: SqsSettings, clock: Arc<dyn Clock>) -> (Arc<Self>, Errands) {
        let (errands, received) = mpsc::unbounded_channel();
        // Positions of another life of this process are other ones.
        let first = clock.now().as_ms() << 20;
        let inner = Self {
            wire: Wire::new(&settings),
            claims: settings.claims.clone().map(Claims::new),
            settings,
            clock,
            closed: watch::Sender::new(false),
            queues: Mutex::default(),
            errands,
            holds: Notify::new(),
            number: AtomicU64::new(first),
        };
        (Arc::new(inner), received)
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Ends all that waits.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
        self.holds.notify_waiters();
        self.all().iter().for_each(|queue| queue.changed.notify_waiters());
    }

    /// Until it is closed.
    pub(crate) async fn closed(&self) {
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    pub(crate) fn check_open(&self, operation: &'static str) -> Result<()> {
        if self.is_closed() {
            Err(Error::new(Kind::Closed, operation, self.settings.address()))
        } else {
            Ok(())
        }
    }

    /// What is asked of SQS ends with the broker as well, and step by step has an end.
    pub(crate) async fn bounded<T>(
        &self,
        operation: &'static str,
        asked: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.check_open(operation)?;
        let late =
            || Error::new(Kind::Unavailable, operation, self.settings.address()).because("no answer in time");
        let longest = (self.settings.wait + self.settings.timeout) * 2;
        tokio::select! {
            answered = time::timeout(longest, asked) => answered.unwrap_or_else(|_| Err(late())),
            () = self.closed() => Err(Error::new(Kind::Closed, operation, self.settings.address())),
        }
    }

    /// The next number, for letters.
    pub(crate) fn number(&self) -> u64 {
        self.number.fetch_add(1, Relaxed)
    }

    /// A name that nothing else has.
    pub(crate) fn unique(&self) -> String {
        format!("{:016x}{:016x}", self.clock.random(), self.clock.random())
    }

    /// Sleeps unless it is closed.
    pub(crate) async fn pause(&self, time: Duration) {
        let _ = time::timeout(time, self.closed()).await;
    }

    /// Runs something in the background.
    pub(crate) fn run(&self, errand: impl Future<Output = ()> + Send + 'static) {
        // Without the work that runs them nothing is done any more: the broker is closed.
        let _ = self.errands.send(Box::pin(errand));
    }

    /// A queue that was found before.
    pub(crate) fn known(&self, queue: &QueueName) -> Option<Arc<Queue>> {
        self.queues.lock().get(queue).cloned()
    }

    /// Remembers a queue that was found, and says what is remembered.
    pub(crate) fn remember(&self, queue: Queue) -> Arc<Queue> {
        self.queues.lock().entry(queue.settings.name.clone()).or_insert_with(|| Arc::new(queue)).clone()
    }

    /// The queue is no more, or another one: whoever waits for its messages is told.
    pub(crate) fn forget(&self, queue: &QueueName) {
        let forgotten = self.queues.lock().remove(queue);
        if let Some(queue) = forgotten {
            queue.change(|shelf| {
                shelf.gone = true;
                shelf.take_all();
            });
        }
    }

    /// All that are known.
    pub(crate) fn all(&self) -> Vec<Arc<Queue>> {
        self.queues.lock().values().cloned().collect()
    }
}

/// Runs the errands, and now and then gives back what nobody here asks for. When the broker is closed it gives back all.
pub(crate) async fn run_errands(inner: Arc<Inner>, mut received: Errands) {
    let mut running = FuturesUnordered::new();
    let mut look = time::interval(limits::LOOK);
    loop {
        tokio::select! {
            () = inner.closed() => break,
            errand = received.recv() => running.extend(errand),
            Some(()) = running.next() => {}
            _ = look.tick() => inner.all().into_iter().for_each(|queue| inner.give_back_idle(queue)),
        }
    }
    // What is on its way may bring messages that must be given back as well.
    let rest = async {
        loop {
            tokio::select! {
                biased;
                Ok(errand) = std::future::ready(received.try_recv()) => running.push(errand),
                next = running.next() => if next.is_none() { return },
            }
        }
    };
    let _ = time::timeout(limits::GOODBYE_MAX, rest).await;
    let give_back =
        futures_util::future::join_all(inner.all().into_iter().map(|queue| inner.give_back_all(queue)));
    let _ = time::timeout(limits::GOODBYE_MAX, give_back).await;
}
