//! The port [`Bus`] on a topic of Kafka with one partition: positions are its offsets, in one order for all, and the head is
//! where it ends.
//!
//! Each process reads all of the topic from a place of its own, in no group, and keeps the newest part for its listeners.

mod patience;
mod read;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::bus::tape::{Kept, Place, Tape};
use forebay_core::ports::bus::{Bus, BusCapabilities, Heard, Listener, Position};
use forebay_core::ports::clock::{Clock, Run, Work};
use parking_lot::Mutex;
use rdkafka::error::KafkaError;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task;
use tokio::time::timeout;

use crate::link::{Clients, Outgoing, refusal_of_known};
use crate::queue::names;
use crate::settings::KafkaSettings;

const PUBLISH: &str = "publish notice";
const HEAD: &str = "read head of bus";
const LISTEN: &str = "listen to bus";

/// A bus on a topic of Kafka. The last clone closes it.
///
/// A process whose servers were away reads on where it was, as far as they still have that; its listeners hear of a gap if not.
/// Where the topic was deleted, or has lost its end, everything is in doubt. A notice is confirmed when all replicas that are
/// in sync have it, which is not to say synced to their disks.
#[derive(Clone)]
pub struct KafkaBus {
    handle: Arc<Handle>,
}

/// Closes the bus when it is dropped.
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// What the bus, its listeners and the reader share.
struct Shared {
    settings: KafkaSettings,
    clock: Arc<dyn Clock>,
    topic: String,
    kept: Kept,
    /// Tells this bus from all others there ever were.
    life: u64,
    number: AtomicU64,
    clients: Mutex<Option<Arc<Clients>>>,
    tape: Mutex<Tape>,
    calls: Semaphore,
    asks: Arc<Semaphore>,
    /// Whether the topic is there, and is read.
    joined: watch::Sender<bool>,
    /// Notified when the reader may be deaf without knowing it.
    doubted: Notify,
    /// What was refused last, since then and until it is read again.
    refused: Mutex<Option<(Kind, String)>>,
    /// Up to where it was read; changes whenever there may be something to hear.
    heard: watch::Sender<Position>,
    closed: watch::Sender<bool>,
    listeners: AtomicUsize,
}

impl KafkaBus {
    /// A bus on the servers that the settings name, and what must be run for it. Nothing is begun before that runs on tokio.
    pub fn open(settings: KafkaSettings, kept: Kept, clock: Arc<dyn Clock>) -> (Self, Vec<Work>) {
        let shared = Arc::new(Shared {
            topic: names::bus(&settings.prefix),
            settings,
            kept,
            life: clock.random(),
            clock,
            number: AtomicU64::new(0),
            clients: Mutex::new(None),
            tape: Mutex::new(Tape::new(kept)),
            calls: Semaphore::new(limits::kafka::BUS_CALLS_MAX),
            asks: Arc::new(Semaphore::new(limits::kafka::BUS_ASKS_MAX)),
            joined: watch::Sender::new(false),
            doubted: Notify::new(),
            refused: Mutex::new(None),
            heard: watch::Sender::new(Position::START),
            closed: watch::Sender::new(false),
            listeners: AtomicUsize::new(0),
        });
        let work = Work { name: "kafka bus", run: Run::Task(Box::pin(read::keep(shared.clone()))) };
        (Self { handle: Arc::new(Handle { shared }) }, vec![work])
    }

    /// Ends it on this side: nothing more is taken, and listeners come to an end once they have heard what there was.
    pub fn close(&self) {
        self.shared().close();
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }
}

impl Shared {
    fn close(&self) {
        self.closed.send_replace(true);
        self.heard.send_modify(|_| {});
    }

    fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    async fn until_closed(&self) {
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    fn error(&self, kind: Kind, operation: &'static str) -> Error {
        Error::new(kind, operation, self.settings.address())
    }

    fn check_open(&self, operation: &'static str) -> Result<()> {
        if self.is_closed() { Err(self.error(Kind::Closed, operation)) } else { Ok(()) }
    }

    /// As an error of the port.
    fn refusal(&self, error: KafkaError, operation: &'static str) -> Error {
        refusal_of_known(error, operation, self.settings.address())
    }

    /// Asks for something once the topic is read, for as long as a call may take.
    async fn call<T>(&self, operation: &'static str, asked: impl Future<Output = Result<T>>) -> Result<T> {
        self.check_open(operation)?;
        let answered = async {
            let _ = self.joined.subscribe().wait_for(|joined| *joined).await;
            asked.await
        };
        tokio::select! {
            answered = timeout(self.settings.wait, answered) => answered.unwrap_or_else(|_| {
                self.doubted.notify_waiters();
                Err(self.late(operation))
            }),
            () = self.until_closed() => Err(self.error(Kind::Closed, operation)),
        }
    }

    fn late(&self, operation: &'static str) -> Error {
        match &*self.refused.lock() {
            Some((kind, why)) => self.error(*kind, operation).because(why.clone()),
            None => self.error(Kind::Unavailable, operation).because("no answer in time"),
        }
    }

    /// The clients, made when they are first needed.
    fn clients(&self, operation: &'static str) -> Result<Arc<Clients>> {
        let mut clients = self.clients.lock();
        if let Some(clients) = &*clients {
            return Ok(clients.clone());
        }
        let made = Clients::new(&self.settings)
            .map_err(|error| self.error(Kind::Invalid, operation).because(error))?;
        Ok(clients.insert(made).clone())
    }

    /// These clients are of no use any more: the next who needs some makes others.
    async fn give_up(&self, broken: &Arc<Clients>) {
        let given_up = self.clients.lock().take_if(|present| Arc::ptr_eq(present, broken));
        // Their end waits for their threads.
        drop(task::spawn_blocking(move || drop(given_up)).await);
    }

    /// Puts a notice into the topic, and says which place it has there.
    async fn put(&self, notice: Payload) -> Result<Position> {
        let clients = self.clients(PUBLISH)?;
        let number = self.number.fetch_add(1, Relaxed);
        let record = Outgoing {
            topic: self.topic.clone(),
            partition: Some(0),
            key: None,
            header: Some(format!("{:016x}-{number}", self.life).into_bytes()),
            payload: notice,
            at: self.clock.now(),
        };
        match clients.put_one(&record).await {
            Ok(offset) => Ok(Position(u64::try_from(offset).unwrap_or(0) + 1)),
            Err(error) => {
                if clients.is_broken() {
                    self.give_up(&clients).await;
                }
                Err(self.refusal(error, PUBLISH))
            }
        }
    }

    /// The offsets of the oldest entry that is kept, and of the next one that comes.
    async fn ends(&self, operation: &'static str, wait: Duration) -> Result<(u64, u64)> {
        let turn = self.asks.clone().acquire_owned().await;
        let (clients, topic) = (self.clients(operation)?, self.topic.clone());
        let asked = task::spawn_blocking(move || {
            // Whoever has asked may be gone: the thread is there until the client gives up.
            let _turn = turn;
            clients.admin.inner().fetch_watermarks(&topic, 0, wait)
        });
        let answered =
            asked.await.map_err(|error| self.error(Kind::Unavailable, operation).because(error))?;
        let (low, high) = answered.map_err(|error| self.refusal(error, operation))?;
        Ok((u64::try_from(low).unwrap_or(0), u64::try_from(high).unwrap_or(0)))
    }

    /// Until this process has read up to there.
    async fn read_up_to(&self, position: Position) {
        // The sender is our own.
        let _ = self.heard.subscribe().wait_for(|read| *read >= position).await;
    }
}

impl Bus for KafkaBus {
    fn capabilities(&self) -> BusCapabilities {
        BusCapabilities { ordered: true, once: true, replay: true }
    }

    fn publish(&self, notice: Payload) -> BoxFuture<'_, Result<Position>> {
        Box::pin(async move {
            let shared = self.shared();
            if notice.len() > limits::NOTICE_BYTES_MAX {
                return Err(shared.error(Kind::TooLarge, PUBLISH));
            }
            let published = async {
                let _turn = shared.calls.acquire().await;
                let position = shared.put(notice).await?;
                // Its own listeners hear it also when the bus is closed next.
                shared.read_up_to(position).await;
                Ok(position)
            };
            shared.call(PUBLISH, published).await
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<Position>> {
        let shared = self.shared();
        Box::pin(shared.call(HEAD, async { Ok(Position(shared.ends(HEAD, shared.settings.wait).await?.1)) }))
    }

    fn listen(&self, after: Option<Position>) -> BoxFuture<'_, Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let shared = self.shared();
            // All is known then that was published before.
            let known = async {
                let (_, end) = shared.ends(LISTEN, shared.settings.wait).await?;
                shared.read_up_to(Position(end)).await;
                Ok(())
            };
            shared.call(LISTEN, known).await?;
            let (place, gap) = {
                let tape = shared.tape.lock();
                after.map_or_else(|| (tape.end(), None), |after| tape.begin(after))
            };
            if shared.listeners.fetch_add(1, SeqCst) >= limits::BUS_LISTENERS_MAX {
                shared.listeners.fetch_sub(1, SeqCst);
                return Err(shared.error(Kind::Full, LISTEN));
            }
            let (shared, heard) = (shared.clone(), shared.heard.subscribe());
            Ok(Box::new(KafkaListener { shared, heard, place, gap }) as Box<dyn Listener>)
        })
    }
}

struct KafkaListener {
    shared: Arc<Shared>,
    heard: watch::Receiver<Position>,
    /// All up to it is heard, the gap apart.
    place: Place,
    /// To be told first.
    gap: Option<Heard>,
}

impl Drop for KafkaListener {
    fn drop(&mut self) {
        self.shared.listeners.fetch_sub(1, SeqCst);
    }
}

impl Listener for KafkaListener {
    fn next(&mut self) -> BoxFuture<'_, Result<Heard>> {
        Box::pin(async move {
            loop {
                // What comes from here on is looked for in the next round.
                self.heard.mark_unchanged();
                let next = self.gap.take().or_else(|| self.shared.tape.lock().next(&mut self.place));
                if let Some(heard) = next {
                    return Ok(heard);
                }
                self.shared.check_open(LISTEN)?;
                if self.heard.changed().await.is_err() {
                    return Err(self.shared.error(Kind::Closed, LISTEN));
                }
            }
        })
    }
}
