//! The port `BrokerAdmin` on Redis. What may be long is done in steps, between which others are served.

use forebay_core::delivery::DeliveryId;
use forebay_core::error::{Kind, Result};
use forebay_core::limits;
use forebay_core::message::MessageId;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{BrokerAdmin, Found, Peeked, Place, QueueInfo, ReplayFrom, Replayed};
use forebay_core::queue::QueueName;
use forebay_core::stats::QueueStats;
use forebay_core::time::Instant;
use redis::Value;

use crate::broker::RedisBroker;
use crate::broker::answers::Fields;
use crate::broker::session::{Session, delivery};
use crate::link::About;
use crate::script::strange;

/// A delivery that is looked at is nobody's.
const NOBODYS: u32 = 0;

fn read_info(session: &Session, queue: &QueueName, answer: Value) -> Option<QueueInfo> {
    let mut fields = Fields::of(answer)?;
    let settings = session.settings(queue, fields.bytes()?)?;
    let paused = fields.number()? == 1;
    let stats = QueueStats {
        ready: fields.number()?,
        held: fields.number()?,
        delayed: fields.number()?,
        oldest_ms: fields.number()?,
        published: fields.number()?,
        delivered: fields.number()?,
        acked: fields.number()?,
        retried: fields.number()?,
        dead_lettered: fields.number()?,
        dropped: fields.number()?,
        repeated: fields.number()?,
        dedup_forgotten: fields.number()?,
        ..QueueStats::default()
    };
    Some(QueueInfo { settings: (*settings).clone(), stats, paused })
}

fn read_peeked(session: &Session, queue: &QueueName, answer: Value) -> Option<Vec<Peeked>> {
    let mut fields = Fields::of(answer)?;
    let settings = session.settings(queue, fields.bytes()?)?;
    let mut peeked = Vec::new();
    while !fields.is_empty() {
        let letter = fields.fields()?.shown()?;
        peeked.push(Peeked { delivery: delivery(&settings, letter, NOBODYS, Instant::default()) });
    }
    Some(peeked)
}

fn read_found(session: &Session, queue: &QueueName, answer: Value) -> Option<Found> {
    let mut fields = Fields::of(answer)?;
    let settings = session.settings(queue, fields.bytes()?)?;
    let letter = fields.shown()?;
    let (place, moment) = (fields.text()?, fields.moment()?);
    let (place, held_until) = match place.as_str() {
        "ready" => (Place::Ready, Instant::default()),
        "held" => (Place::Held(moment), moment),
        "delayed" => (Place::Delayed(moment), Instant::default()),
        _ => return None,
    };
    let id = DeliveryId { position: letter.position, token: NOBODYS };
    let found = delivery(&settings, letter, id.token, held_until);
    Some(Found { delivery: found, place })
}

impl RedisBroker {
    async fn info(&self, queue: &QueueName) -> Result<QueueInfo> {
        const OPERATION: &str = "look at queue";
        let session = &self.session;
        let answer = session.run(OPERATION, &session.scripts.info, queue, &session.moving()).await?;
        let about = About { operation: OPERATION, on: queue.as_str() };
        read_info(session, queue, answer).ok_or_else(|| strange(about))
    }

    async fn names(&self) -> Result<Vec<QueueName>> {
        let about = About { operation: "list queues", on: "of this prefix" };
        self.session.check_open(about)?;
        let mut command = redis::cmd("SMEMBERS");
        command.arg(format!("{}names", self.session.root));
        let link = &self.session.link;
        let Value::Array(names) = link.ask(about, link.settings.patience, &command).await? else {
            return Err(strange(about));
        };
        let read = |name: Value| match name {
            Value::BulkString(name) => QueueName::new(std::str::from_utf8(&name).ok()?).ok(),
            _ => None,
        };
        let mut names: Vec<QueueName> =
            names.into_iter().map(read).collect::<Option<_>>().ok_or_else(|| strange(about))?;
        names.sort();
        Ok(names)
    }
}

impl BrokerAdmin for RedisBroker {
    fn queues(&self) -> BoxFuture<'_, Result<Vec<QueueInfo>>> {
        Box::pin(async move {
            let mut all = Vec::new();
            for name in self.names().await? {
                match self.info(&name).await {
                    Ok(info) => all.push(info),
                    // It was deleted meanwhile.
                    Err(error) if error.kind() == Kind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(all)
        })
    }

    fn queue<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<QueueInfo>> {
        Box::pin(self.info(queue))
    }

    /// Of many or large messages the first are shown.
    fn peek<'a>(&'a self, queue: &'a QueueName, count_max: usize) -> BoxFuture<'a, Result<Vec<Peeked>>> {
        Box::pin(async move {
            const OPERATION: &str = "peek into queue";
            let session = &self.session;
            let count = count_max.min(limits::redis::PEEK_MAX).to_string();
            let bytes = limits::RECEIVE_BYTES_MAX.to_string();
            let [fresh, wait] = session.moving();
            let arguments = [fresh, wait, count.as_bytes(), bytes.as_bytes()];
            let answer = session.run(OPERATION, &session.scripts.peek, queue, &arguments).await?;
            let about = About { operation: OPERATION, on: queue.as_str() };
            read_peeked(session, queue, answer).ok_or_else(|| strange(about))
        })
    }

    fn purge<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            const OPERATION: &str = "purge queue";
            let session = &self.session;
            let step = limits::redis::STEP_MESSAGES_MAX.to_string();
            // What is published while this runs may go as well, but does not keep it running for ever.
            let stats = self.info(queue).await?.stats;
            let most = stats.ready + stats.delayed;
            let mut purged = 0;
            loop {
                let answer =
                    session.run(OPERATION, &session.scripts.purge, queue, &[step.as_bytes()]).await?;
                let Value::Int(removed) = answer else {
                    return Err(strange(About { operation: OPERATION, on: queue.as_str() }));
                };
                purged += u64::try_from(removed).unwrap_or(0);
                if removed == 0 || purged >= most {
                    return Ok(purged);
                }
            }
        })
    }

    fn redrive<'a>(&'a self, queue: &'a QueueName, count_max: usize) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            const OPERATION: &str = "redrive dead letters";
            let session = &self.session;
            let (mut left, mut rank, mut redriven) = (count_max, 0_i64, 0);
            let step = limits::redis::STEP_MESSAGES_MAX.to_string();
            loop {
                let (most, from) = (left.to_string(), rank.to_string());
                let [fresh, wait] = session.moving();
                let arguments = [fresh, wait, most.as_bytes(), from.as_bytes(), step.as_bytes()];
                let answer = session.run(OPERATION, &session.scripts.redrive, queue, &arguments).await?;
                let strange = || strange(About { operation: OPERATION, on: queue.as_str() });
                let Value::Array(counts) = answer else { return Err(strange()) };
                let [Value::Int(moved), Value::Int(next)] = counts.as_slice() else { return Err(strange()) };
                let moved = usize::try_from(*moved).map_err(|_| strange())?;
                left = left.saturating_sub(moved);
                redriven += moved as u64;
                rank = *next;
                if rank < 0 || left == 0 {
                    return Ok(redriven);
                }
            }
        })
    }

    fn find<'a>(&'a self, queue: &'a QueueName, id: &'a MessageId) -> BoxFuture<'a, Result<Option<Found>>> {
        Box::pin(async move {
            const OPERATION: &str = "find message in queue";
            let session = &self.session;
            let (mut from, step) = (0_i64, limits::redis::STEP_MESSAGES_MAX.to_string());
            loop {
                let begin = from.to_string();
                let [fresh, wait] = session.moving();
                let arguments = [fresh, wait, id.as_str().as_bytes(), begin.as_bytes(), step.as_bytes()];
                match session.run(OPERATION, &session.scripts.find, queue, &arguments).await? {
                    Value::Int(0) => return Ok(None),
                    Value::BulkString(next) => {
                        let next = std::str::from_utf8(&next).ok().and_then(|next| next.parse().ok());
                        let about = About { operation: OPERATION, on: queue.as_str() };
                        from = next.filter(|next| *next > from).ok_or_else(|| strange(about))?;
                    }
                    found => {
                        let about = About { operation: OPERATION, on: queue.as_str() };
                        let found = read_found(session, queue, found);
                        return found.map(Some).ok_or_else(|| strange(about));
                    }
                }
            }
        })
    }

    fn pause<'a>(&'a self, queue: &'a QueueName, paused: bool) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let session = &self.session;
            let arguments: [&[u8]; 1] = [if paused { b"1" } else { b"0" }];
            session.run("pause queue", &session.scripts.pause, queue, &arguments).await.map(|_| ())
        })
    }

    fn replay<'a>(
        &'a self,
        queue: &'a QueueName,
        _: ReplayFrom,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<Replayed>>> {
        Box::pin(async move {
            self.info(queue).await?;
            let about = About { operation: "replay queue", on: queue.as_str() };
            Err(about.error(Kind::Unsupported).because("no queue on Redis retains messages"))
        })
    }

    fn delete<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let session = &self.session;
            session.run("delete queue", &session.scripts.delete, queue, &[]).await.map(|_| ())
        })
    }
}
