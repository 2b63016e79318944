//! The port `Broker` on Redis Streams: every step is one script, so a crash in between loses nothing.

pub(crate) mod answers;
mod codec;
mod declare;
mod desk;
mod holds;
mod publish;
mod scripts;
pub(crate) mod session;
mod settle;

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
use self::publish::Publisher;
use self::session::Session;
use self::settle::{Ack, Acks};
use crate::bell;
use crate::connect::Target;
use crate::link::{About, Link};
use crate::script::strange;
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
    publisher: Publisher,
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
    let publisher = Publisher::new(session.clone(), publishing);
    Ok((Arc::new(RedisBroker { session, desk, acks, publisher }), works))
}

impl RedisBroker {
    /// Ends all that waits, with `Closed`, and the works; what was taken for receivers that are told so goes back.
    pub fn close(&self) {
        self.session.close();
        self.publisher.close();
    }

    /// Is ready once a connection stands to a server that keeps what the settings ask for.
    pub async fn ready(&self, patience: Duration) -> Result<()> {
        let place = self.session.link.settings.place();
        let about = About { operation: "reach Redis", on: &place };
        let link = &self.session.link;
        link.stand(about, patience).await?;
        self.session.trusted(link, about).await.map(|_| ())
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
            let (fields, most) = (declare::fields(settings), limits::QUEUES_MAX.to_string());
            let forgotten = declare::ms(limits::redis::CONSUMER_IDLE_MAX);
            let arguments = [fields.as_bytes(), most.as_bytes(), forgotten.as_bytes()];
            let (link, script) = (&*self.session.link, &self.session.scripts.ensure);
            let over = (link, self.session.trusted(link, about).await?);
            let present = match self.session.run_over(over, about, script, name, &arguments).await? {
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
        Box::pin(self.publisher.publish(queue, messages))
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
        Box::pin(self.session.look_at_hold("look at delivery", queue, delivery, None))
    }

    fn extend<'a>(
        &'a self,
        queue: &'a QueueName,
        delivery: DeliveryId,
        hold: Duration,
    ) -> BoxFuture<'a, Result<Option<Instant>>> {
        Box::pin(async move {
            let hold = hold.min(limits::HOLD_MAX);
            let held = self.session.look_at_hold("extend delivery", queue, delivery, Some(hold)).await?;
            Ok(held.map(|held| held.held_until))
        })
    }

    fn expired(&self) -> BoxFuture<'_, Result<Vec<Delivery>>> {
        Box::pin(async move {
            let look = async {
                loop {
                    let (soonest, deliveries) = self.session.offer().await?;
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
