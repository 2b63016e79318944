//! What all parts of the broker share: the clients, the queues that are known, and what runs in the background.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use forebay_core::error::{Error, Kind, Result};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::Clock;
use forebay_core::queue::QueueName;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use tokio::{task, time};

use crate::link::Clients;
use crate::queue::Queue;
use crate::queue::shelf::Consuming;
use crate::registry::Registry;
use crate::registry::declaring::Declaring;
use crate::settings::KafkaSettings;

/// The broker itself; its handle closes it.
pub(crate) struct Inner {
    pub(crate) settings: KafkaSettings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) registry: Registry,
    clients: Mutex<Option<Arc<Clients>>>,
    closed: watch::Sender<bool>,
    queues: Mutex<HashMap<QueueName, Arc<Queue>>>,
    pub(crate) declaring: Declaring,
    errands: mpsc::UnboundedSender<BoxFuture<'static, ()>>,
    /// Notified when holds have run out.
    pub(crate) holds: Notify,
    number: AtomicU64,
}

/// What runs beside the calls: each belongs to a message or a queue that lies here, and is bounded like these.
pub(crate) type Errands = mpsc::UnboundedReceiver<BoxFuture<'static, ()>>;

impl Inner {
    pub(crate) fn new(settings: KafkaSettings, clock: Arc<dyn Clock>) -> (Arc<Self>, Errands) {
        let (errands, received) = mpsc::unbounded_channel();
        // Positions of another life of this process are other ones.
        let first = clock.now().as_ms() << 20;
        let inner = Self {
            registry: Registry::new(&settings),
            settings,
            clock,
            clients: Mutex::default(),
            closed: watch::Sender::new(false),
            queues: Mutex::default(),
            declaring: Declaring::default(),
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

    /// The next number, for letters.
    pub(crate) fn number(&self) -> u64 {
        self.number.fetch_add(1, Relaxed)
    }

    /// Runs something in the background.
    pub(crate) fn run(&self, errand: impl Future<Output = ()> + Send + 'static) {
        // Without the work that runs them nothing is done any more: the broker is closed.
        let _ = self.errands.send(Box::pin(errand));
    }

    /// The clients, made when they are first needed.
    pub(crate) fn clients(&self, operation: &'static str) -> Result<Arc<Clients>> {
        self.check_open(operation)?;
        let mut clients = self.clients.lock();
        if let Some(clients) = &*clients {
            return Ok(clients.clone());
        }
        let made = Clients::new(&self.settings)
            .map_err(|error| Error::new(Kind::Invalid, operation, self.settings.address()).because(error))?;
        Ok(clients.insert(made).clone())
    }

    /// These clients are of no use any more: the next who needs some makes others.
    pub(crate) fn give_up(&self, broken: &Arc<Clients>) {
        let mut clients = self.clients.lock();
        if clients.as_ref().is_some_and(|present| Arc::ptr_eq(present, broken)) {
            let given_up = clients.take();
            drop(clients);
            // Their end waits for their threads.
            self.run(async move { drop(task::spawn_blocking(move || drop(given_up)).await) });
        }
    }

    /// Asks a client something that blocks.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        operation: &'static str,
        ask: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        task::spawn_blocking(ask)
            .await
            .map_err(|error| Error::new(Kind::Unavailable, operation, self.settings.address()).because(error))
    }

    /// What the servers are asked step by step has an end as well.
    pub(crate) async fn bounded<T>(
        &self,
        operation: &'static str,
        asked: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let late =
            || Error::new(Kind::Unavailable, operation, self.settings.address()).because("no answer in time");
        tokio::select! {
            answer = time::timeout(self.settings.wait * 2, asked) => answer.unwrap_or_else(|_| Err(late())),
            () = self.closed() => Err(Error::new(Kind::Closed, operation, self.settings.address())),
        }
    }

    /// A queue that was used before.
    pub(crate) fn known(&self, queue: &QueueName) -> Option<Arc<Queue>> {
        self.queues.lock().get(queue).cloned()
    }

    /// Remembers a queue, and says what is remembered.
    pub(crate) fn remember(&self, queue: Queue) -> Arc<Queue> {
        self.queues.lock().entry(queue.name().clone()).or_insert_with(|| Arc::new(queue)).clone()
    }

    /// The queue is no more, or is another one now: whoever waits for its messages is told.
    pub(crate) fn forget(&self, queue: &QueueName, still: Option<u64>) {
        let mut queues = self.queues.lock();
        if queues.get(queue).is_none_or(|known| Some(known.life) == still) {
            return;
        }
        let forgotten = queues.remove(queue);
        drop(queues);
        if let Some(queue) = forgotten {
            queue.change(|shelf| {
                shelf.consuming = Consuming::Gone;
                shelf.leave(Consuming::Gone);
            });
        }
    }

    /// All that are known.
    pub(crate) fn all(&self) -> Vec<Arc<Queue>> {
        self.queues.lock().values().cloned().collect()
    }
}

/// Runs the errands until the broker is closed, and then those that are for queues to their end: they leave their groups.
pub(crate) async fn run_errands(inner: Arc<Inner>, mut received: Errands) {
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = inner.closed() => break,
            errand = received.recv() => running.extend(errand),
            Some(()) = running.next() => {}
        }
    }
    let end = async { while running.next().await.is_some() {} };
    let _ = time::timeout(inner.settings.wait, end).await;
    let clients = inner.clients.lock().take();
    drop(task::spawn_blocking(move || drop(clients)).await);
}
