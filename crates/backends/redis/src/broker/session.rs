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
use futures_util::future::try_join_all;
use parking_lot::Mutex;
use redis::Value;
use tokio::sync::watch;
use tokio::time::{self, sleep};

use super::answers::{Fields, Letter};
use super::declare;
use super::scripts::Scripts;
use crate::link::{About, Link, Standing};
use crate::script::{Call, Script, strange};
use crate::settings::Durable;

/// Settings as they lie in the server, and as they were read.
type Known = (Vec<u8>, Arc<QueueSettings>);

pub(crate) struct Session {
    pub(crate) link: Arc<Link>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) scripts: Scripts,
    /// Begins all keys.
    pub(crate) root: String,
    /// Who holds what this process takes, in the group's pending list.
    consumer: String,
    /// The fields of a queue that is declared because dead letters must go somewhere.
    fresh_fields: String,
    /// How long what is parked again waits.
    parked_wait: String,
    closing: watch::Sender<bool>,
    known: Mutex<HashMap<QueueName, Known>>,
    /// How often what lies at a position of a queue could not be read here.
    unread: Mutex<HashMap<(QueueName, u64), u32>>,
}

/// What a take brought.
pub(super) struct Taken {
    pub(super) deliveries: Vec<Delivery>,
    /// Taken as well, but not to be read.
    pub(super) unread: Vec<DeliveryId>,
    /// How long until something more is due.
    pub(super) due_in: Option<Duration>,
}

/// What a take has made held, of which not all need have been told.
struct Held {
    settings: Arc<QueueSettings>,
    due_in: Option<Duration>,
    until: Instant,
    entries: Vec<Entry>,
}

struct Entry {
    position: u64,
    tries: u32,
    /// Its names and values.
    told: Option<Fields>,
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
            scripts: Scripts::new(),
            // The hash tag keeps all keys on one server of a cluster.
            root: format!("{{{}}}:", link.settings.prefix),
            consumer: format!("forebay-{:016x}", clock.random()),
            fresh_fields: declare::fields(&fresh),
            parked_wait: declare::ms(fresh.retry.backoff.longest),
            closing: watch::Sender::new(false),
            known: Mutex::default(),
            unread: Mutex::default(),
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
            answer = self.run_until_done(about, script, queue, arguments, None) => answer,
            () = self.closing() => Err(about.error(Kind::Closed)),
        }
    }

    /// The same over this connection and no other.
    pub(super) async fn run_over(
        &self,
        over: (&Link, Standing),
        about: About<'_>,
        script: &Script,
        queue: &QueueName,
        arguments: &[&[u8]],
    ) -> Result<Value> {
        tokio::select! {
            biased;
            answer = self.call(over, about, script, queue, arguments, None) => answer,
            () = self.closing() => Err(about.error(Kind::Closed)),
        }
    }

    /// The same over any, also while the session is closing.
    pub(super) async fn run_until_done(
        &self,
        about: About<'_>,
        script: &Script,
        queue: &QueueName,
        arguments: &[&[u8]],
        end: Option<time::Instant>,
    ) -> Result<Value> {
        let standing = self.link.stand(about, self.link.settings.patience).await?;
        self.call((&self.link, standing), about, script, queue, arguments, end).await
    }

    async fn call(
        &self,
        (link, standing): (&Link, Standing),
        about: About<'_>,
        script: &Script,
        queue: &QueueName,
        arguments: &[&[u8]],
        end: Option<time::Instant>,
    ) -> Result<Value> {
        let at = format!("{}queue:{queue}", self.root);
        let mut all = vec![self.root.as_bytes(), queue.as_str().as_bytes()];
        all.extend(arguments);
        let call = Call { about, end, keys: &[at.as_bytes()], arguments: &all };
        match script.run_on(link, standing, call).await? {
            Value::BulkString(word) if word == b"missing" => Err(about.error(Kind::NotFound)),
            answer => Ok(answer),
        }
    }

    /// A connection to a server that keeps what the settings ask for: another one is not trusted with messages. What is trusted is
    /// the server behind this connection; the next one may lead to another.
    pub(super) async fn trusted(&self, link: &Link, about: About<'_>) -> Result<Standing> {
        let standing = link.stand(about, link.settings.patience).await?;
        let (facts, asked) = (standing.facts, link.settings.durable);
        if facts.evicts_all && asked > Durable::Any {
            let what = "the server's maxmemory-policy lets it drop messages when its memory is full";
            return Err(about.error(Kind::Unsupported).because(what));
        }
        if facts.durable.unwrap_or(Durable::Any) >= asked {
            return Ok(standing);
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

    /// Takes what is ready. Its answer is waited for beyond the time of other calls: a late one still tells what is held.
    pub(super) async fn take(
        &self,
        queue: &QueueName,
        count: usize,
        hold: Option<Duration>,
        token: u32,
    ) -> Result<Taken> {
        let about = About { operation: "receive from queue", on: queue.as_str() };
        let (count, hold) = (count.to_string(), hold.map_or_else(String::new, declare::ms));
        let token_text = token_text(token);
        let [bytes, told] = [limits::RECEIVE_BYTES_MAX, limits::redis::TAKE_TOLD_MAX].map(|n| n.to_string());
        let [fresh, wait] = self.moving();
        let rest = [count.as_bytes(), hold.as_bytes(), token_text.as_bytes(), self.consumer.as_bytes()];
        let arguments = [&[fresh, wait], &rest[..], &[bytes.as_bytes(), told.as_bytes()]].concat();
        let end = time::Instant::now() + limits::redis::TAKE_WAIT_MAX;
        let _under_way = self.link.carry(limits::RECEIVE_BYTES_MAX);
        let answer = self.run_until_done(about, &self.scripts.take, queue, &arguments, Some(end)).await?;
        let held = self.read_held(queue, answer).ok_or_else(|| strange(about))?;
        let untold = held.entries.iter().filter(|entry| entry.told.is_none()).map(|entry| entry.position);
        let mut told = self.read_entries(about, queue, untold.collect(), end).await?;
        let (mut deliveries, mut unread) = (Vec::with_capacity(held.entries.len()), Vec::new());
        for Entry { position, tries, told: entry } in held.entries {
            let entry = entry.or_else(|| told.remove(&position));
            match entry.and_then(|mut entry| entry.letter_of_entry(position, tries)) {
                Some(letter) => deliveries.push(delivery(&held.settings, letter, token, held.until)),
                None => unread.push(DeliveryId { position, token }),
            }
        }
        Ok(Taken { deliveries, unread, due_in: held.due_in })
    }

    fn read_held(&self, queue: &QueueName, answer: Value) -> Option<Held> {
        let mut fields = Fields::of(answer)?;
        let settings = self.settings(queue, fields.bytes()?)?;
        let due = fields.maybe_number()?.map(Instant::from_ms);
        let (until, now) = (fields.moment()?, fields.moment()?);
        let mut held = Held { settings, due_in: due.map(|due| due.since(now)), until, entries: Vec::new() };
        if !fields.is_empty() {
            let (mut tries, mut entries) = (fields.fields()?, fields.fields()?);
            while !entries.is_empty() {
                let (position, told) = entries.entry()?;
                held.entries.push(Entry { position, tries: tries.tries()?, told });
            }
        }
        Some(held)
    }

    /// What lies at these positions of a queue's stream.
    async fn read_entries(
        &self,
        about: About<'_>,
        queue: &QueueName,
        positions: Vec<u64>,
        end: time::Instant,
    ) -> Result<HashMap<u64, Fields>> {
        let mut found = HashMap::with_capacity(positions.len());
        if positions.is_empty() {
            return Ok(found);
        }
        let key = format!("{}stream:{queue}", self.root);
        let standing = self.link.stand(about, self.link.settings.patience).await?;
        let answers = runs(positions).into_iter().map(|(first, last)| {
            let mut command = redis::cmd("XRANGE");
            command.arg(&key).arg(first).arg(last);
            let (link, standing) = (&self.link, standing.clone());
            async move { link.ask_on(about, standing, &command, end).await }
        });
        for answer in try_join_all(answers).await? {
            let mut entries = Fields::of(answer).ok_or_else(|| strange(about))?;
            while !entries.is_empty() {
                let (position, entry) = entries.entry().ok_or_else(|| strange(about))?;
                found.extend(entry.map(|entry| (position, entry)));
            }
        }
        Ok(found)
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
        self.run_until_done(about, &self.scripts.settle, queue, &arguments, None).await.map(|_| ())
    }

    /// Gives back what was handed out by a take whose answer was lost; also while the session is closing.
    pub(super) async fn reclaim(&self, queue: &QueueName, token: u32) -> Result<()> {
        let about = About { operation: "give back deliveries", on: queue.as_str() };
        let (token, most) = (token_text(token), limits::RECEIVE_DELIVERIES_MAX.to_string());
        let mut from = b"-".to_vec();
        loop {
            let arguments = [self.consumer.as_bytes(), token.as_bytes(), from.as_slice(), most.as_bytes()];
            let script = &self.scripts.reclaim;
            match self.run_until_done(about, script, queue, &arguments, None).await? {
                Value::BulkString(next) => from = next,
                _ => return Ok(()),
            }
        }
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
            let call = Call { about, end: None, keys: &[key.as_bytes()], arguments: &arguments };
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

/// The stretches of positions without a gap, each as its first and last.
fn runs(mut positions: Vec<u64>) -> Vec<(u64, u64)> {
    positions.sort_unstable();
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for position in positions {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(position) => *last = position,
            _ => runs.push((position, position)),
        }
    }
    runs
}

pub(super) fn token_text(token: u32) -> String {
    format!("{token:08x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_in_stretches_without_a_gap() {
        assert_eq!(runs(vec![]), []);
        assert_eq!(runs(vec![7]), [(7, 7)]);
        assert_eq!(runs(vec![9, 3, 4, 5, 1]), [(1, 1), (3, 5), (9, 9)]);
        assert_eq!(runs(vec![u64::MAX, u64::MAX - 1]), [(u64::MAX - 1, u64::MAX)]);
    }
}
