//! The port `Bus` on a Redis Stream: positions are the entries' ids, and the head is the last of them.

mod heard;
mod seen;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use forebay_core::error::{Kind, Result};
use forebay_core::limits;
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::bus::{Bus, BusCapabilities, Heard, Listener, Position};
use forebay_core::ports::clock::{Clock, Run, Work};
use parking_lot::Mutex;
use redis::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use self::heard::{Reading, id_of, read_id};
use self::seen::Seen;
use crate::bell::{self, Rung};
use crate::connect::Target;
use crate::link::{About, Link, Standing};
use crate::script::{Call, Script, strange};
use crate::settings::Settings;

const PUBLISH: About<'static> = About { operation: "publish notice", on: "on Redis" };
const HEAD: About<'static> = About { operation: "read head of bus", on: "on Redis" };
const LISTEN: About<'static> = About { operation: "listen to bus", on: "on Redis" };

/// How much the server keeps for listeners that are behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Notices.
    pub notices: usize,
    /// Bytes of them; the newest one is kept whatever its size.
    pub bytes: usize,
}

impl Default for Kept {
    fn default() -> Self {
        Self { notices: limits::BUS_NOTICES_DEFAULT, bytes: limits::BUS_BYTES_DEFAULT }
    }
}

/// A bus on a Redis Stream.
///
/// A server that was started anew, that was promoted, or that is the master again after another one, may have lost the newest
/// notices: every listener hears of a gap from the beginning then, once that server was asked for anything.
pub struct RedisBus {
    shared: Arc<Shared>,
}

struct Shared {
    link: Arc<Link>,
    kept: Kept,
    stream: String,
    channel: String,
    publish: Script,
    head: Script,
    read: Script,
    closing: watch::Sender<bool>,
    /// Changes whenever there may be something to hear.
    rung: watch::Receiver<u64>,
    listeners: AtomicUsize,
    seen: Mutex<Seen>,
}

/// A bus on these servers. It is of use once the works run.
pub fn open(settings: Settings, kept: Kept, clock: Arc<dyn Clock>) -> (Arc<RedisBus>, Vec<Work>) {
    // The hash tag keeps all keys on one server of a cluster.
    let stream = format!("{{{}}}:bus", settings.prefix);
    let channel = format!("{stream}:bell");
    let (link, link_work) =
        Link::new(settings.clone(), Target::of_prefix(&settings), clock, "redis bus", Duration::ZERO);
    let (ring, rung) = watch::channel(0);
    let closing = watch::Sender::new(false);
    let hear = hear(link.clone(), channel.clone(), ring, closing.subscribe());
    let script = |body| Script::new(&[include_str!("bus/lua/prelude.lua"), body]);
    let shared = Shared {
        link,
        kept,
        stream,
        channel,
        publish: script(include_str!("bus/lua/publish.lua")),
        head: script(include_str!("bus/lua/head.lua")),
        read: script(include_str!("bus/lua/read.lua")),
        closing,
        rung,
        listeners: AtomicUsize::new(0),
        seen: Mutex::new(Seen::new()),
    };
    let hear = Work { name: "redis bus bell", run: Run::Task(Box::pin(hear)) };
    (Arc::new(RedisBus { shared: Arc::new(shared) }), vec![link_work, hear])
}

/// Passes the bell on. Once the bus is closed its listeners have some time to hear what was published before.
async fn hear(
    link: Arc<Link>,
    channel: String,
    ring: watch::Sender<u64>,
    mut closing: watch::Receiver<bool>,
) {
    let (heard, mut rung) = mpsc::channel::<Rung>(1);
    let pass_on = async {
        while rung.recv().await.is_some() {
            ring.send_modify(|count| *count += 1);
        }
    };
    let closed = async {
        // The sender is gone where bus and listeners are.
        if closing.wait_for(|closing| *closing).await.is_ok() {
            ring.send_modify(|count| *count += 1);
            let _ = timeout(limits::redis::BUS_DRAIN, link.closed()).await;
        }
        link.close();
    };
    tokio::join!(bell::listen(link.clone(), channel, heard), pass_on, closed);
}

impl RedisBus {
    /// Ends it on this side: nothing more is taken, and listeners come to an end once they have heard what there was.
    pub fn close(&self) {
        self.shared.closing.send_replace(true);
    }

    /// Is ready once a connection stands, `Unavailable` after so long.
    pub async fn ready(&self, patience: Duration) -> Result<()> {
        self.shared.link.stand(LISTEN, patience).await.map(|_| ())
    }
}

impl Drop for RedisBus {
    fn drop(&mut self) {
        self.close();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.link.close();
    }
}

impl Shared {
    fn check_open(&self, about: About<'_>) -> Result<()> {
        if *self.closing.borrow() { Err(about.error(Kind::Closed)) } else { Ok(()) }
    }

    /// The answer, and over which connection it came.
    async fn run(&self, about: About<'_>, script: &Script, arguments: &[&[u8]]) -> Result<(Value, Standing)> {
        let standing = self.link.stand(about, Duration::ZERO).await?;
        let epoch = standing.facts.epoch.to_string();
        let arguments = [arguments, &[epoch.as_bytes()]].concat();
        let keys = [self.stream.as_bytes()];
        let call = Call { about, end: None, keys: &keys, arguments: &arguments };
        let answer = script.run_on(&self.link, standing.clone(), call).await?;
        Ok((answer, standing))
    }

    /// The position that is told, and since which connection the history is that it was told in.
    async fn position(
        &self,
        about: About<'_>,
        script: &Script,
        arguments: &[&[u8]],
    ) -> Result<(Position, u64)> {
        let (answer, standing) = self.run(about, script, arguments).await?;
        let read = |answer| match answer {
            Value::BulkString(id) => read_id(std::str::from_utf8(&id).ok()?),
            _ => None,
        };
        let position = read(answer).ok_or_else(|| strange(about))?;
        Ok((position, self.seen.lock().told(standing.number, standing.facts, position)))
    }

    async fn find_head(&self) -> Result<(Position, u64)> {
        self.position(HEAD, &self.head, &[]).await
    }
}

impl Bus for RedisBus {
    fn capabilities(&self) -> BusCapabilities {
        BusCapabilities { ordered: true, once: true, replay: true }
    }

    fn publish(&self, notice: Payload) -> BoxFuture<'_, Result<Position>> {
        Box::pin(async move {
            self.shared.check_open(PUBLISH)?;
            if notice.len() > limits::NOTICE_BYTES_MAX {
                return Err(PUBLISH.error(Kind::TooLarge));
            }
            let (notices, bytes) = (self.shared.kept.notices.to_string(), self.shared.kept.bytes.to_string());
            let rest = [notices.as_bytes(), bytes.as_bytes(), self.shared.channel.as_bytes()];
            let arguments = [&[&*notice], &rest[..]].concat();
            let published = self.shared.position(PUBLISH, &self.shared.publish, &arguments).await;
            published.map(|(position, _)| position)
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<Position>> {
        Box::pin(async move {
            self.shared.check_open(HEAD)?;
            self.shared.find_head().await.map(|(head, _)| head)
        })
    }

    fn listen(&self, after: Option<Position>) -> BoxFuture<'_, Result<Box<dyn Listener>>> {
        Box::pin(async move {
            self.shared.check_open(LISTEN)?;
            let (after, since) = match after {
                Some(after) => (after, None),
                None => {
                    let (head, since) = self.shared.find_head().await?;
                    (head, Some(since))
                }
            };
            if self.shared.listeners.fetch_add(1, SeqCst) >= limits::BUS_LISTENERS_MAX {
                self.shared.listeners.fetch_sub(1, SeqCst);
                return Err(LISTEN.error(Kind::Full));
            }
            let (shared, rung) = (self.shared.clone(), self.shared.rung.clone());
            let listener = RedisListener { shared, rung, after, since, heard: VecDeque::new() };
            Ok(Box::new(listener) as Box<dyn Listener>)
        })
    }
}

struct RedisListener {
    shared: Arc<Shared>,
    rung: watch::Receiver<u64>,
    /// All up to it is heard, or stands in `heard`.
    after: Position,
    /// Since which connection the history is that this is a position of; not known of one that was given.
    since: Option<u64>,
    heard: VecDeque<Heard>,
}

impl Drop for RedisListener {
    fn drop(&mut self) {
        self.shared.listeners.fetch_sub(1, SeqCst);
    }
}

impl RedisListener {
    /// Reads on. Nothing has changed until the answer is there: so it may be dropped.
    async fn read(&mut self) -> Result<()> {
        let (after, most) = (id_of(self.after), limits::redis::BUS_READ_MAX.to_string());
        let arguments = [after.as_bytes(), most.as_bytes()];
        let (answer, standing) = self.shared.run(LISTEN, &self.shared.read, &arguments).await?;
        let reading = Reading::of(answer).ok_or_else(|| strange(LISTEN))?;
        let mut seen = self.shared.seen.lock();
        let since = seen.told(standing.number, standing.facts, reading.head);
        let is_former = self.since.map_or_else(|| seen.is_former(self.after), |known| known != since);
        drop(seen);
        (self.heard, self.after) =
            if is_former { reading.heard_after_another() } else { reading.heard_after(self.after) };
        self.since = Some(since);
        Ok(())
    }
}

impl Listener for RedisListener {
    fn next(&mut self) -> BoxFuture<'_, Result<Heard>> {
        Box::pin(async move {
            loop {
                if let Some(heard) = self.heard.pop_front() {
                    return Ok(heard);
                }
                // What is rung from here on is read in the next round.
                self.rung.mark_unchanged();
                let is_closing = *self.shared.closing.borrow();
                match self.read().await {
                    Err(_) if is_closing => return Err(LISTEN.error(Kind::Closed)),
                    read => read?,
                }
                if !self.heard.is_empty() {
                    continue;
                }
                if is_closing {
                    return Err(LISTEN.error(Kind::Closed));
                }
                // Also without the bell, which may be cut off, it is looked now and then.
                let _ = timeout(limits::redis::LOOK_PAUSE, self.rung.changed()).await;
            }
        })
    }
}
