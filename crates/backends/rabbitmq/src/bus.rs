//! The port [`Bus`] on a stream of RabbitMQ (3.9 and later): positions are the server's own, in one order for all.
//!
//! A stream does not tell where it ends, so each process reads all of it, and whoever has to know writes something and waits
//! until it comes back: a publish its notice, a question for the head a marker.

mod read;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::bus::tape::{Kept, Place, Tape};
use forebay_core::ports::bus::{Bus, BusCapabilities, Heard, Listener, Position};
use forebay_core::ports::clock::{Clock, Run, Work};
use lapin::Channel;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use crate::link::Link;
use crate::link::keep::keep;
use crate::settings::RabbitSettings;

const PUBLISH: &str = "publish notice";
const HEAD: &str = "read head of bus";
const LISTEN: &str = "listen to bus";

/// A bus on a stream of RabbitMQ. The last clone closes it.
///
/// A process whose connection ends reads on where it was, as far as the server still has that; its listeners hear of a gap if
/// not. Where the stream was deleted, or a node has lost its end, everything is in doubt. A stream is confirmed when a majority
/// of its nodes has written it, which is not to say synced to their disks.
#[derive(Clone)]
pub struct RabbitBus {
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
    settings: RabbitSettings,
    clock: Arc<dyn Clock>,
    stream: String,
    /// Tells this bus from all others there ever were.
    life: u64,
    number: AtomicU64,
    tape: Mutex<Tape>,
    /// Those who wait for an entry of theirs to come back, by its number.
    awaited: Mutex<HashMap<u64, oneshot::Sender<Position>>>,
    calls: Semaphore,
    /// Over which entries are written now.
    writer: watch::Sender<Option<Writer>>,
    /// Notified when the reader may be deaf without knowing it.
    doubted: Notify,
    /// What the server has refused, since then and until it is used again.
    refused: Mutex<Option<(Kind, String)>>,
    /// Changes whenever there may be something to hear.
    heard: watch::Sender<()>,
    closed: watch::Sender<bool>,
    listeners: AtomicUsize,
}

#[derive(Clone)]
struct Writer {
    link: Arc<Link>,
    channel: Channel,
}

impl RabbitBus {
    /// A bus on the server that the settings name, and what must be run for it. Nothing is begun before that runs on tokio.
    pub fn open(settings: RabbitSettings, kept: Kept, clock: Arc<dyn Clock>) -> (Self, Vec<Work>) {
        let stream = format!("{}forebay.bus", settings.prefix);
        let shared = Arc::new(Shared {
            settings,
            stream,
            life: clock.random(),
            clock,
            number: AtomicU64::new(0),
            tape: Mutex::new(Tape::new(kept)),
            awaited: Mutex::default(),
            calls: Semaphore::new(limits::rabbitmq::BUS_CALLS_MAX),
            writer: watch::Sender::new(None),
            doubted: Notify::new(),
            refused: Mutex::new(None),
            heard: watch::Sender::new(()),
            closed: watch::Sender::new(false),
            listeners: AtomicUsize::new(0),
        });
        let work = Work { name: "rabbitmq bus", run: Run::Task(Box::pin(keep(shared.clone()))) };
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
        self.heard.send_replace(());
    }

    fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    fn error(&self, kind: Kind, operation: &'static str) -> Error {
        Error::new(kind, operation, self.settings.address())
    }

    fn check_open(&self, operation: &'static str) -> Result<()> {
        if self.is_closed() { Err(self.error(Kind::Closed, operation)) } else { Ok(()) }
    }

    /// Writes a notice, or a marker, and waits until it has come back: all that was written before has come too, then.
    async fn write(&self, operation: &'static str, notice: Option<Payload>) -> Result<Position> {
        self.check_open(operation)?;
        let deadline = Instant::now() + self.settings.wait;
        let mut is_written = false;
        let written = async {
            let _turn = self.calls.acquire().await;
            let waiting = Waiting::new(self);
            let writer = self.writer().await;
            writer
                .write(self, waiting.number, notice)
                .await
                .map_err(|refusal| self.refusal(refusal, operation))?;
            is_written = true;
            waiting.returned().await.map_err(|_| self.error(Kind::Closed, operation))
        };
        tokio::select! {
            written = timeout_at(deadline, written) => match written {
                Ok(written) => written,
                Err(_) => {
                    if is_written {
                        self.doubted.notify_waiters();
                    }
                    Err(self.late(operation))
                }
            },
            () = self.until_closed() => Err(self.error(Kind::Closed, operation)),
        }
    }

    /// What to write over, once the bus has that.
    async fn writer(&self) -> Writer {
        let mut writer = self.writer.subscribe();
        let writer = writer.wait_for(Option::is_some).await.map(|writer| writer.clone());
        match writer {
            Ok(Some(writer)) => writer,
            // The sender is our own.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    fn late(&self, operation: &'static str) -> Error {
        match &*self.refused.lock() {
            Some((kind, why)) => self.error(*kind, operation).because(why.clone()),
            None => self.error(Kind::Unavailable, operation).because("no answer in time"),
        }
    }

    fn next_number(&self) -> u64 {
        self.number.fetch_add(1, Relaxed)
    }

    async fn until_closed(&self) {
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }
}

/// One who waits for an entry to come back, while it does.
struct Waiting<'a> {
    shared: &'a Shared,
    number: u64,
    returned: oneshot::Receiver<Position>,
}

impl<'a> Waiting<'a> {
    fn new(shared: &'a Shared) -> Self {
        let number = shared.next_number();
        let (tell, returned) = oneshot::channel();
        shared.awaited.lock().insert(number, tell);
        Self { shared, number, returned }
    }

    async fn returned(mut self) -> std::result::Result<Position, oneshot::error::RecvError> {
        (&mut self.returned).await
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.awaited.lock().remove(&self.number);
    }
}

impl Bus for RabbitBus {
    fn capabilities(&self) -> BusCapabilities {
        BusCapabilities { ordered: true, once: true, replay: true }
    }

    fn publish(&self, notice: Payload) -> BoxFuture<'_, Result<Position>> {
        Box::pin(async move {
            if notice.len() > limits::NOTICE_BYTES_MAX {
                return Err(self.shared().error(Kind::TooLarge, PUBLISH));
            }
            self.shared().write(PUBLISH, Some(notice)).await
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<Position>> {
        Box::pin(self.shared().write(HEAD, None))
    }

    fn listen(&self, after: Option<Position>) -> BoxFuture<'_, Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let shared = self.shared();
            // From here on all is known that was published before.
            shared.write(LISTEN, None).await?;
            let (place, gap) = {
                let tape = shared.tape.lock();
                after.map_or_else(|| (tape.end(), None), |after| tape.begin(after))
            };
            if shared.listeners.fetch_add(1, SeqCst) >= limits::BUS_LISTENERS_MAX {
                shared.listeners.fetch_sub(1, SeqCst);
                return Err(shared.error(Kind::Full, LISTEN));
            }
            let (shared, heard) = (shared.clone(), shared.heard.subscribe());
            Ok(Box::new(RabbitListener { shared, heard, place, gap }) as Box<dyn Listener>)
        })
    }
}

struct RabbitListener {
    shared: Arc<Shared>,
    heard: watch::Receiver<()>,
    /// All up to it is heard, the gap apart.
    place: Place,
    /// To be told first.
    gap: Option<Heard>,
}

impl Drop for RabbitListener {
    fn drop(&mut self) {
        self.shared.listeners.fetch_sub(1, SeqCst);
    }
}

impl Listener for RabbitListener {
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
