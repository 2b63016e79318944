//! What all parts of the broker share: the present connections, the queues that are known, and what runs in the background.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::Clock;
use forebay_core::queue::QueueName;
use forebay_core::time::Instant;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time;

use crate::link::Link;
use crate::link::keep::Keeper;
use crate::queue::Queue;
use crate::queue::shelf::{Cleared, Consuming, Shelf};
use crate::settings::RabbitSettings;

/// The broker itself; its handle closes it.
pub(crate) struct Inner {
    pub(crate) settings: RabbitSettings,
    pub(crate) clock: Arc<dyn Clock>,
    link: watch::Sender<Option<Arc<Link>>>,
    /// For publishing alone: a server that lacks memory or disk space reads nothing more from a connection that publishes, and
    /// consumers must be able to acknowledge what takes up the space.
    pub(crate) publishing: watch::Sender<Option<Arc<Link>>>,
    closed: watch::Sender<bool>,
    queues: Mutex<HashMap<QueueName, Arc<Queue>>>,
    /// Reading and writing the settings of queues, one at a time.
    pub(crate) records: Arc<tokio::sync::Mutex<()>>,
    errands: mpsc::UnboundedSender<BoxFuture<'static, ()>>,
    /// Notified when a hold began, or changed, that may be the next to run out.
    pub(crate) holds: Notify,
    number: AtomicU64,
}

/// What runs beside the calls: each belongs to a message or a queue that lies here, and is bounded like these.
pub(crate) type Errands = mpsc::UnboundedReceiver<BoxFuture<'static, ()>>;

impl Inner {
    pub(crate) fn new(settings: RabbitSettings, clock: Arc<dyn Clock>) -> (Arc<Self>, Errands) {
        let (errands, received) = mpsc::unbounded_channel();
        // Positions of another life of this process are other ones.
        let first = clock.now().as_ms() << 20;
        let inner = Self {
            settings,
            clock,
            link: watch::Sender::new(None),
            publishing: watch::Sender::new(None),
            closed: watch::Sender::new(false),
            queues: Mutex::default(),
            records: Arc::default(),
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
        self.each(|queue| queue.change(Shelf::tell_nobody));
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

    /// The connection, waited for as long as a call may wait for it. Nothing is published over it.
    pub(crate) async fn link(&self, operation: &'static str) -> Result<Arc<Link>> {
        self.up(&self.link, operation).await
    }

    /// The connection for publishing, likewise.
    pub(crate) async fn publishing_link(&self, operation: &'static str) -> Result<Arc<Link>> {
        self.up(&self.publishing, operation).await
    }

    async fn up(
        &self,
        link: &watch::Sender<Option<Arc<Link>>>,
        operation: &'static str,
    ) -> Result<Arc<Link>> {
        self.check_open(operation)?;
        let mut link = link.subscribe();
        let up = tokio::select! {
            biased;
            up = link.wait_for(Option::is_some) => up.ok().and_then(|link| link.clone()),
            () = time::sleep(self.settings.wait) => None,
            () = self.closed() => None,
        };
        self.check_open(operation)?;
        let away = || Error::new(Kind::Unavailable, operation, self.settings.address());
        up.ok_or_else(|| away().because("no connection to it stands"))
    }

    /// What the server is asked step by step has an end as well.
    pub(crate) async fn bounded<T>(
        &self,
        operation: &'static str,
        asked: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let late =
            || Error::new(Kind::Unavailable, operation, self.settings.address()).because("no answer in time");
        time::timeout(self.settings.wait * 2, asked).await.unwrap_or_else(|_| Err(late()))
    }

    /// The connection, if there is one at this moment.
    pub(crate) fn link_now(&self) -> Option<Arc<Link>> {
        self.link.borrow().clone()
    }

    /// Gives up the channel over which the queue's messages came: they are the server's again.
    pub(crate) fn drop_channel(&self, queue: &Queue, epoch: u64) {
        let not_before = self.clock.now() + limits::rabbitmq::PAUSE;
        let cleared =
            queue.change(|shelf| (shelf.epoch() == epoch).then(|| shelf.clear(Consuming::No { not_before })));
        if let Some(cleared) = cleared {
            self.run(close(cleared));
        }
    }

    /// A queue that was found before.
    pub(crate) fn known(&self, queue: &QueueName) -> Option<Arc<Queue>> {
        self.queues.lock().get(queue).cloned()
    }

    /// Remembers a queue that was found, and says what is remembered.
    pub(crate) fn remember(&self, queue: Queue) -> Arc<Queue> {
        self.queues.lock().entry(queue.settings.name.clone()).or_insert_with(|| Arc::new(queue)).clone()
    }

    /// The queue is no more: whoever waits for its messages is told.
    pub(crate) fn forget(&self, queue: &QueueName) {
        let forgotten = self.queues.lock().remove(queue);
        if let Some(queue) = forgotten {
            self.run(close(queue.change(|shelf| shelf.clear(Consuming::Gone))));
        }
    }

    /// All that are known.
    pub(crate) fn all(&self) -> Vec<Arc<Queue>> {
        self.queues.lock().values().cloned().collect()
    }

    fn each(&self, act: impl Fn(&Queue)) {
        self.all().iter().for_each(|queue| act(queue));
    }
}

impl Keeper for Inner {
    fn settings(&self) -> &RabbitSettings {
        &self.settings
    }

    fn random(&self) -> u64 {
        self.clock.random()
    }

    fn is_closed(&self) -> bool {
        self.is_closed()
    }

    async fn closed(&self) {
        self.closed().await;
    }

    /// Whoever needs the connection finds it.
    async fn serve(self: Arc<Self>, link: Arc<Link>) {
        self.link.send_replace(Some(link));
        self.each(|queue| queue.changed.notify_waiters());
        std::future::pending().await
    }

    /// All that came over it is the server's again.
    fn lost(&self) {
        self.link.send_replace(None);
        let not_before = Instant::default();
        self.each(|queue| {
            drop(queue.change(|shelf| {
                shelf.leading = false;
                let gone = matches!(shelf.consuming, Consuming::Gone);
                (!gone).then(|| shelf.clear(Consuming::No { not_before }))
            }));
        });
    }
}

/// Closes a channel that is not used any more.
async fn close(cleared: Cleared) {
    if let Some(channel) = &cleared.channel {
        let closing = channel.close(200, "given up".into());
        let _ = time::timeout(limits::rabbitmq::GOODBYE_MAX, closing).await;
    }
}

/// Runs the errands, and now and then gives back what nobody here asks for or holds, until the broker is closed.
pub(crate) async fn run_errands(inner: Arc<Inner>, mut received: Errands) {
    let mut running = FuturesUnordered::new();
    let mut look = time::interval(limits::rabbitmq::LOOK);
    let mut renew = time::interval(limits::rabbitmq::RENEW);
    let closed = inner.closed();
    tokio::pin!(closed);
    loop {
        tokio::select! {
            () = &mut closed => return,
            errand = received.recv() => running.extend(errand),
            Some(()) = running.next() => {}
            _ = renew.tick() => inner.all().into_iter().for_each(|queue| crate::consume::renew(&inner, queue)),
            _ = look.tick() => inner.all().into_iter().for_each(|queue| crate::consume::rest(&inner, queue)),
        }
    }
}
