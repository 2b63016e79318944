//! The port `Broker` on Redis Streams: every step is one script, so a crash in between loses nothing.

pub(crate) mod answers;
mod codec;
mod declare;
mod desk;
mod scripts;
pub(crate) mod session;
mod settle;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use forebay_core::delivery::{Delivery, DeliveryId, Outcome, Settled};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{Broker, BrokerCapabilities, Held, Receive};
use forebay_core::ports::clock::{Clock, Run, Work};
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_core::time::Instant;
use redis::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{self, sleep, timeout};

use self::answers::Fields;
use self::desk::{Desk, Request, unserved};
use self::session::{Back, Session, delivery, token_text};
use self::settle::{Ack, Acks};
use crate::bell;
use crate::connect::Target;
use crate::link::{About, Link};
use crate::script::{Call, strange};
use crate::settings::Settings;

/// Moments beyond it are told to scripts as this one: their numbers are exact so far.
const MOMENT_MAX: u64 = 1 << 52;

/// A broker on Redis Streams.
///
/// A queue is a stream with one consumer group, whose pending list is exactly what is held, and sorted sets that say what is
/// ready and what waits. All moments are the server's: the clocks of the processes that use it should agree with it to the
/// second. All queues of one prefix lie on one server, also of a cluster, so that a message and its dead letter are moved in
/// one step; several prefixes spread over several servers.
///
/// A confirmed message is as safe as the server keeps it: see [`Durable`](crate::settings::Durable). A fail-over can lose what
/// no replica had; `replicas=` makes a publish wait for some.
pub struct RedisBroker {
    pub(crate) session: Arc<Session>,
    desk: mpsc::Sender<Request>,
    acks: mpsc::Sender<Ack>,
    /// A connection of its own for publishes that wait for replicas, which hold up what is behind them.
    publishing: Option<Arc<Link>>,
}

/// Holds that ran out.
struct Offered {
    /// How long until the next one does.
    soonest: Option<Duration>,
    deliveries: Vec<Delivery>,
    /// What cannot be read of them.
    unread: Vec<(QueueName, DeliveryId)>,
}

/// A broker on these servers. It is of use once the works run.
pub fn open(settings: Settings, clock: Arc<dyn Clock>) -> Result<(Arc<RedisBroker>, Vec<Work>)> {
    let target = Target::of_prefix(&settings);
    let (link, link_work) =
        Link::new(settings.clone(), target.clone(), clock.clone(), "redis broker", Duration::ZERO);
    let mut works = vec![link_work];
    let publishing = (settings.replicas > 0).then(|| {
        // Replicas are waited for so long.
        let wait = settings.timeout;
        let (link, work) = Link::new(settings, target, clock.clone(), "redis broker publishing", wait);
        works.push(work);
        link
    });
    let session = Arc::new(Session::new(link.clone(), clock)?);
    let (desk, requests) = mpsc::channel(limits::redis::REQUESTS_MAX);
    let (acks, coming) = mpsc::channel(limits::redis::REQUESTS_MAX);
    let (ring, rung) = mpsc::channel(limits::redis::RUNG_MAX);
    let channel = format!("{}bell", session.root);
    let mut work = |name, run: BoxFuture<'static, ()>| works.push(Work { name, run: Run::Task(run) });
    work("redis broker bell", Box::pin(bell::listen(link, channel, ring)));
    work("redis broker sweep", Box::pin(session.clone().sweep()));
    work("redis broker acknowledgements", Box::pin(Acks::new(session.clone(), coming).serve()));
    work("redis broker desk", Box::pin(Desk::new(session.clone(), requests, rung).serve()));
    Ok((Arc::new(RedisBroker { session, desk, acks, publishing }), works))
}

impl RedisBroker {
    /// Ends all that waits, with `Closed`, and the works; what was taken for receivers that are told so goes back.
    pub fn close(&self) {
        self.session.close();
        if let Some(link) = &self.publishing {
            link.close();
        }
    }

    /// Is ready once a connection stands to a server that keeps what the settings ask for.
    pub async fn ready(&self, patience: Duration) -> Result<()> {
        let place = self.session.link.settings.place();
        let about = About { operation: "reach Redis", on: &place };
        self.session.link.stand(about, patience).await?;
        self.session.trust(about).await
    }

    async fn publish_part(
        &self,
        queue: &QueueName,
        messages: &[Message],
        more: usize,
        is_first: bool,
    ) -> Result<()> {
        let about = About { operation: "publish to queue", on: queue.as_str() };
        let link = self.publishing.as_ref().unwrap_or(&self.session.link);
        let numbers = [more, limits::DEDUP_IDS_MAX].map(|number| number.to_string().into_bytes());
        let mut arguments = Vec::from(numbers.map(Cow::Owned));
        for message in messages {
            arguments.push(Cow::Borrowed(message.id.as_str().as_bytes()));
            arguments.push(Cow::Owned(codec::write(message)));
            arguments.extend(rest_of(message));
        }
        let arguments: Vec<&[u8]> = arguments.iter().map(|argument| &**argument).collect();
        let script = &self.session.scripts.publish;
        let before = link.stand(about, link.settings.patience).await?.number;
        let answer = tokio::select! {
            biased;
            answer = self.session.run_until_done(link, about, script, queue, &arguments, None) => answer?,
            () = self.session.closing() => return Err(about.error(Kind::Closed)),
        };
        match answer {
            Value::BulkString(word) if word == b"done" => self.confirm(about, link, before).await,
            Value::BulkString(word) if word == b"full" && is_first => Err(about.error(Kind::Full)),
            Value::BulkString(word) if word == b"full" => {
                let some = "the queue became full when a part of the messages was in it";
                Err(about.error(Kind::Unavailable).because(some))
            }
            _ => Err(strange(about)),
        }
    }

    /// Waits for the replicas that are asked for. A server answers for what came over the same connection only: of one that was
    /// made since `before` it would say that all replicas have the nothing that came over it.
    async fn confirm(&self, about: About<'_>, link: &Link, before: u64) -> Result<()> {
        let asked = link.settings.replicas;
        if asked == 0 {
            return Ok(());
        }
        let time = link.settings.timeout;
        let mut wait = redis::cmd("WAIT");
        wait.arg(asked).arg(time.as_millis().to_string());
        let standing = link.stand(about, Duration::ZERO).await?;
        if standing.number != before {
            let lost = "the connection broke before replicas could be waited for";
            return Err(about.error(Kind::Unavailable).because(lost));
        }
        match link.ask_on(about, standing, &wait, time::Instant::now() + time * 2).await? {
            Value::Int(have) if have >= i64::from(asked) => Ok(()),
            Value::Int(have) => {
                let few = format!("{have} of {asked} replicas have it by now");
                Err(about.error(Kind::Unavailable).because(few))
            }
            _ => Err(strange(about)),
        }
    }

    async fn offer(&self) -> Result<(Option<Duration>, Vec<Delivery>)> {
        let session = &self.session;
        let about = About { operation: "look for holds that ran out", on: "all queues" };
        session.check_open(about)?;
        let key = format!("{}holds", session.root);
        let numbers = [
            limits::EXPIRED_GRACE.as_millis().to_string(),
            limits::EXPIRED_DELIVERIES_MAX.to_string(),
            limits::RECEIVE_BYTES_MAX.to_string(),
        ];
        let [grace, most, bytes] = numbers.each_ref().map(String::as_bytes);
        let call = Call {
            about,
            patience: session.link.settings.patience,
            end: None,
            keys: &[key.as_bytes()],
            arguments: &[session.root.as_bytes(), grace, most, bytes],
        };
        let answer = session.scripts.offer.run(&session.link, call).await?;
        let offered = self.read_offered(answer).ok_or_else(|| strange(about))?;
        for (queue, id) in offered.unread {
            let back = session.unread(&queue, id.position, Back::UnreadAfterHold);
            // What stays held is offered again.
            let _ = session.give_back(&queue, id, back).await;
        }
        Ok((offered.soonest, offered.deliveries))
    }

    fn read_offered(&self, answer: Value) -> Option<Offered> {
        let mut fields = Fields::of(answer)?;
        let now = fields.moment()?;
        let soonest = fields.maybe_number()?.map(|at| Instant::from_ms(at).since(now));
        let mut offered = Offered { soonest, deliveries: Vec::new(), unread: Vec::new() };
        let mut all = fields.fields()?;
        while !all.is_empty() {
            let mut one = all.fields()?;
            let queue = QueueName::new(&one.text()?).ok()?;
            let (stored, position) = (one.bytes()?, one.number()?);
            let token = u32::from_str_radix(&one.text()?, 16).ok()?;
            let read = || {
                let tries = one.text()?.parse().ok()?;
                let held_until = one.moment()?;
                let letter = one.rest_of_letter(position, tries)?;
                let settings = self.session.settings(&queue, stored)?;
                Some(delivery(&settings, letter, token, held_until))
            };
            match read() {
                Some(delivery) => offered.deliveries.push(delivery),
                None => offered.unread.push((queue, DeliveryId { position, token })),
            }
        }
        Some(offered)
    }

    /// Looks at a hold, and prolongs it where a time is given.
    async fn look_at_hold(
        &self,
        operation: &'static str,
        queue: &QueueName,
        id: DeliveryId,
        hold: Option<Duration>,
    ) -> Result<Option<Held>> {
        let about = About { operation, on: queue.as_str() };
        let (position, token) = (id.position.to_string(), token_text(id.token));
        let hold = hold.map_or_else(String::new, declare::ms);
        let arguments = [position.as_bytes(), token.as_bytes(), hold.as_bytes()];
        let answer = self.session.run(operation, &self.session.scripts.extend, queue, &arguments).await?;
        if answer == Value::Int(0) {
            return Ok(None);
        }
        let read = || {
            let mut fields = Fields::of(answer)?;
            let settings = self.session.settings(queue, fields.bytes()?)?;
            let tries: u32 = fields.text()?.parse().ok()?;
            let held_until = fields.moment()?;
            Some(Held { attempt: tries.saturating_add(1), retry: settings.retry, held_until })
        };
        read().map(Some).ok_or_else(|| strange(about))
    }
}

impl Drop for RedisBroker {
    fn drop(&mut self) {
        self.close();
    }
}

/// 0 for none.
fn moment_text(at: Option<Instant>) -> String {
    at.map_or(0, |at| at.as_ms().clamp(1, MOMENT_MAX)).to_string()
}

/// What the script that takes a message in is told beside its id and bytes.
fn rest_of(message: &Message) -> Vec<Cow<'_, [u8]>> {
    fn text(text: &Option<String>) -> Cow<'_, [u8]> {
        Cow::Borrowed(text.as_deref().unwrap_or_default().as_bytes())
    }
    let Message { not_before, expires_at, priority, key, dedup_id, .. } = message;
    let is_plain = not_before.is_none() && expires_at.is_none() && *priority == 0;
    if is_plain && key.is_none() && dedup_id.is_none() {
        return vec![Cow::Borrowed(b"")];
    }
    let number = |number: String| Cow::Owned(number.into_bytes());
    let moments = [*not_before, *expires_at].map(|at| number(moment_text(at)));
    let [not_before, expires_at] = moments;
    vec![not_before, expires_at, number(priority.to_string()), text(key), text(dedup_id)]
}

/// Parts of a batch that one script takes in.
fn parts(messages: &[Message]) -> Vec<&[Message]> {
    let (mut parts, mut begin, mut bytes) = (Vec::new(), 0, 0);
    for (place, message) in messages.iter().enumerate() {
        bytes += message.payload.len();
        let full = bytes > limits::redis::PUBLISH_BYTES_MAX || place - begin >= limits::PUBLISH_MESSAGES_MAX;
        if full && place > begin {
            parts.extend(messages.get(begin..place));
            (begin, bytes) = (place, message.payload.len());
        }
    }
    parts.extend(messages.get(begin..));
    parts
}

impl Broker for RedisBroker {
    fn capabilities(&self) -> BrokerCapabilities {
        BrokerCapabilities {
            delay: true,
            dead_letter: true,
            extend: true,
            attempts: true,
            expired: true,
            length_max: true,
            expiry: true,
            order_by_key: true,
            priorities: true,
            dedup: true,
            place: true,
            lasting_holds: true,
            retain: false,
            newest_by_key: false,
            message_ttl: true,
            length_bytes_max: false,
            drop_head: true,
            dead_letter_exchange: false,
        }
    }

    fn ensure<'a>(&'a self, settings: &'a QueueSettings) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            const OPERATION: &str = "declare queue";
            self.capabilities().check(settings)?;
            declare::check(settings)?;
            let name = &settings.name;
            let about = About { operation: OPERATION, on: name.as_str() };
            self.session.check_open(about)?;
            self.session.trust(about).await?;
            let (fields, most) = (declare::fields(settings), limits::QUEUES_MAX.to_string());
            let forgotten = declare::ms(limits::redis::CONSUMER_IDLE_MAX);
            let arguments = [fields.as_bytes(), most.as_bytes(), forgotten.as_bytes()];
            let present =
                match self.session.run(OPERATION, &self.session.scripts.ensure, name, &arguments).await? {
                    Value::Int(1) => return Ok(()),
                    Value::Int(0) => return Err(about.error(Kind::Full)),
                    answer => Fields::of(answer).and_then(|mut fields| fields.bytes()),
                };
            let present = present.and_then(|present| self.session.settings(name, present));
            let present = present.ok_or_else(|| strange(about))?;
            match declare::difference(&present, settings) {
                Some(what) => Err(Error::new(Kind::Conflict, OPERATION, format!("{name}: {what}"))),
                None => Ok(()),
            }
        })
    }

    fn publish<'a>(
        &'a self,
        queue: &'a QueueName,
        messages: Vec<Message>,
    ) -> BoxFuture<'a, Result<Vec<MessageId>>> {
        Box::pin(async move {
            let about = About { operation: "publish to queue", on: queue.as_str() };
            self.session.check_open(about)?;
            messages.iter().try_for_each(Message::check)?;
            self.session.trust(about).await?;
            let mut more = messages.len();
            for (number, part) in parts(&messages).into_iter().enumerate() {
                more -= part.len();
                self.publish_part(queue, part, more, number == 0).await?;
            }
            Ok(messages.into_iter().map(|message| message.id).collect())
        })
    }

    fn receive<'a>(&'a self, queue: &'a QueueName, asked: Receive) -> BoxFuture<'a, Result<Vec<Delivery>>> {
        Box::pin(async move {
            const OPERATION: &str = "receive from queue";
            let about = About { operation: OPERATION, on: queue.as_str() };
            self.session.check_open(about)?;
            if asked.count_max == 0 || asked.count_max > limits::RECEIVE_DELIVERIES_MAX {
                return Err(about.error(Kind::Invalid).because("count_max must be 1 to 1000"));
            }
            if asked.hold.is_some_and(|hold| hold > limits::HOLD_MAX) {
                return Err(about.error(Kind::Unsupported).because("a hold lasts at most 12 hours on Redis"));
            }
            let wait = asked.wait_until.since(self.session.clock.now()).min(limits::RECEIVE_WAIT_MAX);
            let (answer, answered) = oneshot::channel();
            let until = time::Instant::now() + wait;
            let request =
                Request { queue: queue.clone(), count: asked.count_max, hold: asked.hold, until, answer };
            self.desk.try_send(request).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => unserved(queue, Kind::Full),
                mpsc::error::TrySendError::Closed(_) => unserved(queue, Kind::Closed),
            })?;
            let settings = &self.session.link.settings;
            match timeout(wait + settings.patience + settings.timeout, answered).await {
                Ok(Ok(handed)) => Ok(handed?.take()),
                Ok(Err(_)) => Err(unserved(queue, Kind::Closed)),
                Err(_) => Err(about.error(Kind::Unavailable).because("the server did not answer in time")),
            }
        })
    }

    fn settle<'a>(
        &'a self,
        queue: &'a QueueName,
        delivery: DeliveryId,
        outcome: Outcome,
        note: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Settled>> {
        Box::pin(async move {
            match outcome {
                Outcome::Done => settle::acknowledge(&self.session, &self.acks, queue, delivery).await,
                outcome => settle::settle(&self.session, queue, delivery, outcome, note).await,
            }
        })
    }

    fn held<'a>(&'a self, queue: &'a QueueName, delivery: DeliveryId) -> BoxFuture<'a, Result<Option<Held>>> {
        Box::pin(self.look_at_hold("look at delivery", queue, delivery, None))
    }

    fn extend<'a>(
        &'a self,
        queue: &'a QueueName,
        delivery: DeliveryId,
        hold: Duration,
    ) -> BoxFuture<'a, Result<Option<Instant>>> {
        Box::pin(async move {
            let hold = hold.min(limits::HOLD_MAX);
            let held = self.look_at_hold("extend delivery", queue, delivery, Some(hold)).await?;
            Ok(held.map(|held| held.held_until))
        })
    }

    fn expired(&self) -> BoxFuture<'_, Result<Vec<Delivery>>> {
        Box::pin(async move {
            let look = async {
                loop {
                    let (soonest, deliveries) = self.offer().await?;
                    if !deliveries.is_empty() {
                        return Ok(deliveries);
                    }
                    // Holds of other processes are not heard of: so it is looked now and then.
                    let pause = soonest.unwrap_or(limits::redis::OFFER_PAUSE).min(limits::redis::OFFER_PAUSE);
                    sleep(pause.max(Duration::from_millis(1))).await;
                }
            };
            tokio::select! {
                biased;
                () = self.session.closing() => {
                    Err(About { operation: "wait for ended holds", on: "all queues" }.error(Kind::Closed))
                }
                looked = look => looked,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_cut_by_number_and_bytes_and_nothing_is_left_out() {
        let message = |bytes: usize| {
            Message::new(MessageId::given("m").unwrap(), forebay_core::payload::Payload::from(vec![0; bytes]))
        };
        let lengths =
            |messages: &[Message]| parts(messages).iter().map(|part| part.len()).collect::<Vec<_>>();
        assert_eq!(lengths(&[]), [0]);
        assert_eq!(
            lengths(&vec![message(1); limits::PUBLISH_MESSAGES_MAX + 1]),
            [limits::PUBLISH_MESSAGES_MAX, 1]
        );
        let half = limits::redis::PUBLISH_BYTES_MAX / 2;
        let messages = [message(half), message(half), message(1), message(half * 3), message(2)];
        assert_eq!(lengths(&messages), [2, 1, 1, 1]);
    }
}
