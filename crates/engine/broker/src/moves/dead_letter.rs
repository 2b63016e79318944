//! Dead letters: where what a queue gives up goes, and as what.
//!
//! To the queues that its queue's dead-letter exchange brings it to, or to the one dead-letter queue that is named. What has
//! no other place is parked: what was confirmed is not dropped for want of a destination.

use std::sync::Arc;

use forebay_core::delivery::{History, Reason};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::message::{Headers, Message, Value};
use forebay_core::payload::Payload;
use forebay_core::queue::{DeadLetterExchange, PARKED, QueueName};
use forebay_core::time::Instant;

use super::{Moved, Pick, Sent};
use crate::engine::Engine;
use crate::records::message::{Claim, Decoded};
use crate::records::{MessageBytes, Record, history, message};
use crate::routing::refusal;
use crate::topology::Queue;
use crate::virtual_hosts::names;

/// How often a destination may vanish while a message is on its way before the caller is told.
const DESTINATIONS_MAX: usize = 3;

/// The header that names further routing keys.
const COPIES: &str = "CC";
/// Another, which is told to nobody.
const BLIND_COPIES: &str = "BCC";

/// A message that is given up.
pub(crate) struct Letter {
    pub(crate) message: Message,
    pub(crate) claim: Option<Claim>,
    pub(crate) history: Vec<History>,
}

/// Where a dead-letter exchange brings it.
pub(crate) enum Way {
    /// To these queues, and as what it comes there.
    To(Vec<Arc<Queue>>, Box<Message>),
    /// Only to queues where it was before, without having been rejected since.
    Circle,
    /// To none.
    Nowhere,
}

impl Letter {
    fn open(body: &Payload) -> Result<Self> {
        let record = Record::decode(body)?;
        let start = body.len() - record.message().head.len();
        let Decoded { message, claim } = message::decode(body, start)?;
        Ok(Self { message, claim, history: record.into_history() })
    }

    /// Its departure from this queue; when, and after how many attempts, is told when it goes.
    pub(crate) fn line(&self, queue: &QueueName, reason: Reason, note: Option<&str>) -> History {
        let message = &self.message;
        let keys = message.routing_key.iter().cloned().chain(copies(&message.headers));
        History {
            note: note.map(str::to_owned),
            exchange: message.exchange.clone(),
            routing_keys: if message.routing_key.is_some() { keys.collect() } else { Vec::new() },
            time_to_live: message.time_to_live,
            ..History::new(queue.clone(), reason, Instant::from_ms(0), 0)
        }
    }
}

impl Engine {
    /// Moves the message to where its queue's dead letters go: `None` if it is not there. A destination that is at its length
    /// does not refuse it, and the one queue that is named, or the one for what is parked, is declared if it is not there.
    pub(crate) fn dead_letter(
        &self,
        from: &Queue,
        pick: Pick,
        reason: Reason,
        note: Option<&str>,
    ) -> Result<Option<u64>> {
        for _ in 0..DESTINATIONS_MAX {
            let (exchange, name) = {
                let settings = &from.lock()?.settings;
                (settings.dead_letter_exchange.clone(), settings.dead_letter.clone())
            };
            let parked = QueueName::new(PARKED)?;
            let name = name.filter(|_| exchange.is_none()).unwrap_or(parked);
            if exchange.is_none() && name == from.name {
                return self.stay(from, pick);
            }
            let Some(body) = self.body(from, pick)? else { return Ok(None) };
            let letter = Letter::open(&body)?;
            let line = letter.line(&from.name, reason, note);
            let way =
                exchange.map_or(Way::Nowhere, |exchange| self.way(&from.name, &exchange, &letter, &line));
            let through = match way {
                Way::To(to, message) => self.send_through(from, pick, &to, &letter, &message, &line)?,
                Way::Circle if matches!(reason, Reason::Expired | Reason::Overflow) => {
                    return self.drop_from(from, pick);
                }
                Way::Circle | Way::Nowhere => None,
            };
            let moved = match through {
                Some(moved) => moved,
                None if name == from.name => return self.stay(from, pick),
                None => {
                    let to = self.topology.find_or_declare(&self.journal, &name)?;
                    let record = Record::decode(&body)?;
                    let message = MessageBytes { head: record.message().head, payload: &[] };
                    let sent = Sent { message, history: letter.history, line: Some(line) };
                    self.send(from, pick, &[to], sent)?
                }
            };
            match moved {
                Moved::Done(sequence) => {
                    from.state.lock().counts.dead_lettered += 1;
                    return Ok(Some(sequence));
                }
                Moved::Gone | Moved::Refused => return Ok(None),
                Moved::NoDestination => {}
            }
        }
        Err(Error::new(Kind::Unavailable, "dead-letter message of queue", from.name.to_string()))
    }

    /// Sends it on as what it has become; `None` where that is too much for the log.
    fn send_through(
        &self,
        from: &Queue,
        pick: Pick,
        to: &[Arc<Queue>],
        letter: &Letter,
        message: &Message,
        line: &History,
    ) -> Result<Option<Moved>> {
        let head = message::head(message, letter.claim);
        let message = MessageBytes { head: &head, payload: &message.payload };
        let sent = Sent { message, history: letter.history.clone(), line: Some(line.clone()) };
        match self.send(from, pick, to, sent) {
            Err(error) if error.kind() == Kind::TooLarge => {
                tracing::warn!(queue = %from.name, %error, "dead letter is parked");
                Ok(None)
            }
            sent => sent.map(Some),
        }
    }

    /// Where the exchange of the queue's virtual host brings what the queue gives up. Without a key of its own the exchange is
    /// given those that the message came with; one that knows none came straight to its queue.
    pub(crate) fn way(
        &self,
        from: &QueueName,
        DeadLetterExchange { exchange, key }: &DeadLetterExchange,
        letter: &Letter,
        line: &History,
    ) -> Way {
        let (vhost, local) = names::place(from);
        let mut message = letter.message.clone();
        if key.is_some() {
            message.headers = without_copies(&message.headers);
        }
        let key = key.as_deref().or(message.routing_key.as_deref()).unwrap_or(local).to_owned();
        let routed = match self.pass_on(&vhost, exchange, &key, &message.headers) {
            // Lists of keys that are none: whoever published it knew nothing of exchanges.
            Err(refusal) if refusal.reason() == refusal::Reason::Argument => {
                self.pass_on(&vhost, exchange, &key, &without_copies(&message.headers))
            }
            routed => routed,
        };
        let mut history = letter.history.clone();
        history::add(&mut history, line.clone());
        let queues = routed.unwrap_or_default();
        let found: Vec<_> = queues.iter().filter_map(|queue| self.topology.find(queue).ok()).collect();
        let is_circle = !found.is_empty();
        let to: Vec<_> = found.into_iter().filter(|to| !comes_in_a_circle(&to.name, &history)).collect();
        if to.is_empty() {
            return if is_circle { Way::Circle } else { Way::Nowhere };
        }
        message.exchange = Some(exchange.clone());
        message.routing_key = Some(key);
        message.expires_at = None;
        message.time_to_live = None;
        message.not_before = None;
        message.dedup_id = None;
        Way::To(to, Box::new(message))
    }

    /// For a dead letter that fails again where it is parked: it has no other place to go to, and to write it again into
    /// the same queue would only make room dear. It waits there for as long as the queue's policy lets any message wait.
    fn stay(&self, queue: &Queue, pick: Pick) -> Result<Option<u64>> {
        let mut state = queue.lock()?;
        let position = pick.position();
        if pick.find(&mut state).is_none() {
            return Ok(None);
        }
        let now = self.clock.now();
        let at = now + state.settings.retry.backoff.longest;
        let written = self.journal.append(&Record::Retry { queue: queue.number, position, at })?;
        state.retry(position, at, now);
        state.counts.retried += 1;
        self.changed(queue, &mut state);
        Ok(Some(written.sequence))
    }

    /// The message goes as its user has asked for.
    fn drop_from(&self, queue: &Queue, pick: Pick) -> Result<Option<u64>> {
        let mut state = queue.lock()?;
        let position = pick.position();
        if pick.find(&mut state).is_none() {
            return Ok(None);
        }
        let written = self.journal.append(&Record::Settle { queue: queue.number, position })?;
        state.take(position).into_iter().for_each(|entry| self.forget(entry));
        state.counts.dropped += 1;
        self.changed(queue, &mut state);
        Ok(Some(written.sequence))
    }
}

/// The keys in the header for copies. What is no text there is no key.
fn copies(headers: &Headers) -> impl Iterator<Item = String> {
    let values = match headers.get(COPIES) {
        Some(Value::List(values)) => &values[..],
        _ => &[],
    };
    values.iter().filter_map(|value| match value {
        Value::Text(key) => Some(key.clone()),
        _ => None,
    })
}

fn without_copies(headers: &Headers) -> Headers {
    let others = headers.iter().filter(|(name, _)| ![COPIES, BLIND_COPIES].contains(name));
    others.map(|(name, value)| (name.to_owned(), value.clone())).collect()
}

/// True if the message was in the queue before, and nobody has rejected it since, nor there: RabbitMQ's rule. It has just left
/// a queue, and that is the last line of its history.
fn comes_in_a_circle(queue: &QueueName, history: &[History]) -> bool {
    if history.last().is_some_and(|last| last.reason == Reason::Rejected) {
        return false;
    }
    let mut since = history.iter().rev().take_while(|line| line.reason != Reason::Rejected);
    since.any(|line| line.queue == *queue)
}

#[cfg(test)]
#[path = "dead_letter_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "dead_letter_room_tests.rs"]
mod room_tests;
