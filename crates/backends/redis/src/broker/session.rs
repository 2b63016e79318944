//! What broker, desk and administration share: the connection, the scripts, and how they are called.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use forebay_core::delivery::{Delivery, DeliveryId, Reason};
use forebay_core::error::{Kind, Result};
use forebay_core::limits;
use forebay_core::ports::clock::Clock;
use forebay_core::queue::{PARKED, QueueName, QueueSettings};
use forebay_core::time::Instant;
use parking_lot::Mutex;
use redis::{Cmd, Value};
use tokio::sync::watch;
use tokio::time::sleep;

use super::answers::Letter;
use super::declare;
use super::scripts::Scripts;
use crate::link::{About, Link};
use crate::script::{Call, Script, strange};
use crate::settings::Durable;

/// Settings as they lie in the server, and as they were read.
type Known = (Vec<u8>, Arc<QueueSettings>);

/// The token of what is held for the first time. No take has it.
pub(super) const FIRST: u32 = 0;

pub(crate) struct Session {
    pub(crate) link: Arc<Link>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) scripts: Scripts,
    /// Begins all keys.
    pub(crate) root: String,
    /// The fields of a queue that is declared because dead letters must go somewhere.
    fresh_fields: String,
    /// How long what is parked again waits.
    parked_wait: String,
    closing: watch::Sender<bool>,
    known: Mutex<HashMap<QueueName, Known>>,
    /// How often what lies at a position of a queue could not be read here.
    unread: Mutex<HashMap<(QueueName, u64), u32>>,
    /// Queues that take in nothing by the short way, or have hardly any room, and until when that is taken for so.
    not_plain: Mutex<HashMap<QueueName, Instant>>,
}

/// Over which connection something is asked, and how long its answer is waited for; `None` is the settings' time.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) link: &'a Link,
    pub(super) within: Option<Duration>,
}

/// Why a delivery goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Back {
    /// Nobody is there to see it.
    Unseen,
    /// It cannot be read.
    Unread,
    /// The same, and somebody had it until the hold ran out, which counts as an attempt.
    UnreadAfterHold,
    /// It could not be read so often that it is a dead letter.
    GivenUp,
}

/// What is told of a dead letter that nobody here could read.
const UNREAD: &str = "it cannot be read: it is of a newer format, or damaged";

impl Session {
    pub(super) fn new(link: Arc<Link>, clock: Arc<dyn Clock>) -> Result<Self> {
        let fresh = QueueSettings::new(QueueName::new(PARKED)?);
        Ok(Self {
            scripts: Scripts::new(link.is_of_cluster()),
            // The hash tag keeps all keys on one server of a cluster.
            root: format!("{{{}}}:", link.settings.prefix),
            fresh_fields: declare::fields(&fresh),
            parked_wait: declare::ms(fresh.retry.backoff.longest),
            closing: watch::Sender::new(false),
            known: Mutex::default(),
            unread: Mutex::default(),
            not_plain: Mutex::default(),
            link,
            clock,
        })
    }

    /// From now on every call is `Closed`.
    pub(super) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Is ready once the session is closing.
    pub(super) async fn closing(&self) {
        // The sender lives as long as this session.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }

    pub(crate) fn check_open(&self, about: About<'_>) -> Result<()> {
        if *self.closing.borrow() { Err(about.error(Kind::Closed)) } else { Ok(()) }
    }

    /// Runs a script that begins with root and queue, and says `missing` where there is no such queue.
    pub(crate) async fn run(
        &self,
        operation: &'static str,
        script: &Script,
        queue: &QueueName,
        arguments: &[&[u8]],
    ) -> Result<Value> {
        let about = About { operation, on: queue.as_str() };
        self.check_open(about)?;
        tokio::select! {
            biased;
            answer = self.run_until_done(&self.link, about, script, queue, arguments, None) => answer,
            () = self.closing() => Err(about.error(Kind::Closed)),
        }
    }

    /// The same, also while the session is closing.
    pub(super) async fn run_until_done(
        &self,
        link: &Link,
        about: About<'_>,
        script: &Script,
        queue: &QueueName,
        arguments: &[&[u8]],
        within: Option<Duration>,
    ) -> Result<Value> {
        let at = self.key("queue", queue);
        let mut all = vec![self.root.as_bytes(), queue.as_str().as_bytes()];
        all.extend(arguments);
        let patience = self.link.settings.patience;
        let call = Call { about, patience, within, keys: &[at.as_bytes()], arguments: &all };
        there(about, script.run(link, call).await?)
    }

    /// The same with commands behind the script, in one transaction with it. They name the door, or bring to its place what
    /// is behind it.
    pub(super) async fn run_before(
        &self,
        way: Way<'_>,
        about: About<'_>,
        script: &Script,
        queue: &QueueName,
        arguments: &[&[u8]],
        mut behind: Vec<Cmd>,
    ) -> Result<(Value, Vec<Value>)> {
        let at = self.key("queue", queue);
        let mut all = vec![self.root.as_bytes(), queue.as_str().as_bytes()];
        all.extend(arguments);
        let mut shut = redis::cmd("RENAMENX");
        shut.arg(self.key("door", queue)).arg(self.key("stream", queue));
        behind.push(shut);
        let patience = self.link.settings.patience;
        let call = Call { about, patience, within: way.within, keys: &[at.as_bytes()], arguments: &all };
        let mut answers = script.run_before(way.link, call, behind).await?.into_iter();
        let first = answers.next().ok_or_else(|| strange(about))?;
        Ok((there(about, first)?, answers.collect()))
    }

    /// The name of a key of a queue.
    pub(super) fn key(&self, word: &str, queue: &QueueName) -> String {
        format!("{}{word}:{queue}", self.root)
    }

    /// Refuses to trust a server with messages that keeps less than the settings ask for.
    pub(super) async fn trust(&self, about: About<'_>) -> Result<()> {
        let facts = self.link.stand(about, self.link.settings.patience).await?.facts;
        let asked = self.link.settings.durable;
        if facts.evicts_all && asked > Durable::Any {
            let what = "the server's maxmemory-policy lets it drop messages when its memory is full";
            return Err(about.error(Kind::Unsupported).because(what));
        }
        if facts.durable.unwrap_or(Durable::Any) >= asked {
            return Ok(());
        }
        let what = match facts.durable {
            Some(kept) => format!(
                "durable={asked:?} was asked for, and the server's appendonly, appendfsync and \
                 no-appendfsync-on-rewrite keep {kept:?}"
            ),
            None => format!("durable={asked:?} was asked for, and the server does not tell what it keeps"),
        };
        Err(about.error(Kind::Unsupported).because(what))
    }

    /// What scripts that may move messages to their dead letters are given behind root and queue.
    pub(crate) fn moving(&self) -> [&[u8]; 2] {
        [self.fresh_fields.as_bytes(), self.parked_wait.as_bytes()]
    }

    /// How a delivery goes back that cannot be read. Another process may be able to read it, and it may be a newer one of this
    /// one: it waits a while, some times, and then holds up nobody any longer. Where it is parked it stays.
    pub(super) fn unread(&self, queue: &QueueName, position: u64, back: Back) -> Back {
        if queue.as_str() == PARKED {
            return back;
        }
        let mut unread = self.unread.lock();
        let place = (queue.clone(), position);
        let times = unread.get(&place).map_or(1, |times| times + 1);
        if times >= limits::redis::UNREAD_TIMES_MAX {
            unread.remove(&place);
            return Back::GivenUp;
        }
        if unread.len() >= limits::redis::UNREAD_KNOWN_MAX {
            unread.clear();
        }
        unread.insert(place, times);
        back
    }

    /// Whether the short way of publishing has been of no use for this queue a moment ago.
    pub(super) fn is_known_not_plain(&self, queue: &QueueName) -> bool {
        self.not_plain.lock().get(queue).is_some_and(|until| *until > self.clock.now())
    }

    pub(super) fn note_not_plain(&self, queue: &QueueName) {
        let mut not_plain = self.not_plain.lock();
        if not_plain.len() >= limits::QUEUES_MAX {
            not_plain.clear();
        }
        not_plain.insert(queue.clone(), self.clock.now() + limits::redis::LOOK_PAUSE);
    }

    /// Gives a delivery back that nobody got to see; also while the session is closing.
    pub(super) async fn give_back(&self, queue: &QueueName, id: DeliveryId, back: Back) -> Result<()> {
        let about = About { operation: "give back delivery", on: queue.as_str() };
        let (position, token) = (id.position.to_string(), token_text(id.token));
        let later = (self.clock.now() + limits::redis::UNREAD_PAUSE).as_ms().to_string();
        let (outcome, detail, note) = match back {
            Back::Unseen => ("return", "", ""),
            Back::Unread => ("return", later.as_str(), ""),
            Back::UnreadAfterHold => ("seen", later.as_str(), ""),
            Back::GivenUp => ("dead", Reason::Rejected.as_str(), UNREAD),
        };
        let [fresh, wait] = self.moving();
        let [outcome, detail, note] = [outcome, detail, note].map(str::as_bytes);
        let arguments = [fresh, wait, position.as_bytes(), token.as_bytes(), outcome, detail, note];
        self.run_until_done(&self.link, about, &self.scripts.settle, queue, &arguments, None)
            .await
            .map(|_| ())
    }

    /// Ends the messages whose time is over, also in queues that nobody looks at, until the link is closed.
    pub(super) async fn sweep(self: Arc<Self>) {
        let about = About { operation: "end messages", on: "whose time is over" };
        let (key, most) = (format!("{}ending", self.root), limits::redis::SWEEP_QUEUES_MAX.to_string());
        let [fresh, wait] = self.moving();
        let arguments = [self.root.as_bytes(), fresh, wait, most.as_bytes()];
        loop {
            tokio::select! {
                () = sleep(limits::redis::OFFER_PAUSE) => {}
                () = self.link.closed() => return,
            }
            let patience = self.link.settings.patience;
            let call = Call { about, patience, within: None, keys: &[key.as_bytes()], arguments: &arguments };
            // While the server is away nobody is handed such a message either.
            let _ = self.scripts.sweep.run(&self.link, call).await;
        }
    }

    /// Waits until there is a connection.
    pub(super) async fn stand(&self, queue: &QueueName) -> Result<()> {
        let about = About { operation: "receive from queue", on: queue.as_str() };
        self.link.stand(about, self.link.settings.patience).await.map(|_| ())
    }

    /// Reads a queue's settings, or finds them as they were read before.
    pub(crate) fn settings(&self, queue: &QueueName, stored: Vec<u8>) -> Option<Arc<QueueSettings>> {
        let mut known = self.known.lock();
        if let Some((text, settings)) = known.get(queue)
            && *text == stored
        {
            return Some(settings.clone());
        }
        let settings = Arc::new(declare::read(queue, &stored)?);
        if known.len() >= limits::QUEUES_MAX {
            known.clear();
        }
        known.insert(queue.clone(), (stored, settings.clone()));
        Some(settings)
    }
}

pub(crate) fn delivery(
    settings: &QueueSettings,
    letter: Letter,
    token: u32,
    held_until: Instant,
) -> Delivery {
    Delivery {
        id: DeliveryId { position: letter.position, token },
        queue: settings.name.clone(),
        message: letter.message,
        attempt: letter.tries.saturating_add(1),
        retry: settings.retry,
        held_until,
        published_at: letter.published_at,
        history: letter.history,
    }
}

fn there(about: About<'_>, answer: Value) -> Result<Value> {
    match answer {
        Value::BulkString(word) if word == b"missing" => Err(about.error(Kind::NotFound)),
        answer => Ok(answer),
    }
}

pub(super) fn token_text(token: u32) -> String {
    format!("{token:08x}")
}
