//! What publishers, consumers and operators do, and what the model is told of it.

use std::time::Duration;

use forebay_core::delivery::{DeliveryId, Outcome, Reason};
use forebay_core::error::Kind;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::broker::Receive;
use forebay_core::queue::{Overflow, PARKED, QueueName};

use super::model::{Change, DEDUP_IDS, Item, Place};
use super::world::{RETAINED, Seen, World};
use crate::bench::until_ready;
use crate::records::Record;

impl World {
    /// One of the queues, declared if it is not there.
    pub(super) fn some_queue(&mut self, names: &[&'static str]) -> Option<(QueueName, u64)> {
        let name = names[self.random.below(names.len() as u64) as usize];
        let settings = Self::settings(name);
        let (declared, sequences) =
            self.appended(|engine| engine.topology.declare(&engine.journal, &settings, usize::MAX).map(drop));
        for sequence in sequences {
            self.story.tell(sequence, Change::Declare(name.to_owned()));
            self.wait_for(sequence);
        }
        declared.ok().and_then(|()| self.story.model.number(name)).map(|number| (settings.name, number))
    }

    pub(super) fn publish(&mut self, seen: &mut Seen) {
        let Some((name, queue)) = self.some_queue(&[
            "plain", "kept", "kept", "newest", "newest", "newest", "short", "head", "dead", "classes",
            "keyed", "keyed", "brief", "fan", "fan", "fan",
        ]) else {
            return;
        };
        let now = self.now();
        let count = 1 + self.random.below(3);
        let mut items = Vec::new();
        let mut repeated = 0;
        let mut messages = Vec::new();
        // Of all messages that are not repeated, by which their queue goes.
        let mut keys = Vec::new();
        for _ in 0..count {
            self.next_id += 1;
            let id = format!("m{}", self.next_id);
            let payload = self.random.below(200) as usize;
            let not_before = self.random.one_in(5).then(|| now + Duration::from_secs(self.random.below(30)));
            let expires_at =
                self.random.one_in(5).then(|| now + Duration::from_secs(1 + self.random.below(30)));
            let key = [None, Some("a"), Some("b"), Some("a")][self.random.below(4) as usize];
            let counts = key.is_some() && name.as_str() == "newest";
            let priority = self.random.below(4) as u8;
            let dedup_id = self.random.one_in(4).then(|| DEDUP_IDS[self.random.below(3) as usize]);
            let is_among =
                |items: &[(Item, Option<&str>, usize)]| items.iter().any(|(_, taken, _)| *taken == dedup_id);
            let has_taken = |id| self.story.model.queues[&queue].has_taken(id, now) || is_among(&items);
            let is_repeated = dedup_id.is_some_and(has_taken);
            messages.push(Message {
                dedup_id: dedup_id.map(str::to_owned),
                not_before,
                expires_at,
                key: key.map(str::to_owned),
                priority,
                ..Message::new(MessageId::given(&id).unwrap(), vec![b'x'; payload].into())
            });
            keys.push(key.filter(|_| counts && !is_repeated));
            if is_repeated {
                repeated += 1;
                continue;
            }
            let by_queue = Self::settings(name.as_str()).message_ttl.map(|ttl| now + ttl);
            let expires_at = expires_at.into_iter().chain(by_queue).min();
            let place = Place::Waiting(not_before.filter(|at| *at > now).unwrap_or_default());
            items.push((
                Item {
                    id,
                    payload,
                    key,
                    counts,
                    priority,
                    attempts: 0,
                    place,
                    expires_at,
                    published_at: now,
                    history: Vec::new(),
                },
                dedup_id,
                messages.len(),
            ));
        }
        let bytes_before = self.story.model.queues[&queue].ready_bytes(now);
        let large = messages.iter().filter(|message| message.payload.len() > self.claim_above()).count();
        let (published, sequences) =
            self.appended(|engine| until_ready(engine, engine.publish(&name, messages)));
        let last = *sequences.end();
        let mut dropped = Vec::new();
        // Of those with one key only the last is written, and those whose dedup ids must be known.
        let overtaken = |item: &Item, behind: usize| item.counts && keys[behind..].contains(&item.key);
        let is_written = |(item, dedup_id, behind): &(Item, Option<&str>, usize)| {
            dedup_id.is_some() || !overtaken(item, *behind)
        };
        let items: Vec<_> = items.into_iter().filter(is_written).collect();
        let count = items.len();
        let mut items = items.into_iter();
        for sequence in sequences {
            match items.next() {
                Some((item, dedup_id, _)) => {
                    let newest = item.key.filter(|_| item.counts);
                    let newest = newest.and_then(|key| self.story.model.queues[&queue].newest(key));
                    let replaces = newest.filter(|(_, newest)| matches!(newest.place, Place::Waiting(_)));
                    let replaces = replaces.map(|(position, _)| position);
                    seen.note("replaced", u64::from(replaces.is_some()));
                    let taken = dedup_id.map(|id| (id, now));
                    self.story.tell(sequence, Change::Put { queue, item, taken, replaces });
                    seen.note("published", 1);
                }
                // The rest are the heads that were dropped.
                None => dropped.push(sequence),
            }
        }
        for sequence in dropped {
            self.tell_dropped(sequence, queue);
            seen.note("dropped", 1);
        }
        match published {
            Ok((_, sequence)) => {
                assert!(sequence <= last && items.next().is_none());
                seen.note("repeated", repeated);
                seen.note("claimed", large as u64);
                let length = self.story.model.queues[&queue].waiting_len();
                let settings = Self::settings(name.as_str());
                assert!(name.as_str() != "short" || length <= settings.length_max);
                let bytes = self.story.model.queues[&queue].ready_bytes(now);
                let refuses = settings.length_bytes_max.filter(|_| settings.overflow == Overflow::Reject);
                assert!(refuses.is_none_or(|max| bytes <= max.max(bytes_before)), "{bytes} bytes");
                self.wait_for(sequence);
            }
            Err(error) if error.kind() == Kind::Full => {
                assert_eq!(items.len(), count, "nothing was taken");
                seen.note("refused as full", 1);
            }
            // The disk failed with a file, and not with the log.
            Err(error) if large > 0 && error.kind() == Kind::Io => {
                assert_eq!(items.len(), count, "nothing was taken");
                seen.note("no file", 1);
            }
            Err(error) => {
                assert_eq!(items.len(), count, "nothing was taken");
                self.expect_trouble(error.kind());
            }
        }
    }

    /// The record of a message that is dropped because its queue has more than it may.
    pub(super) fn tell_dropped(&mut self, sequence: u64, number: u64) {
        let (now, queue) = (self.now(), &self.story.model.queues[&number]);
        assert!(queue.is_over(now));
        let position = queue.least(now);
        self.story.tell(sequence, Change::Gone { queue: number, position });
    }

    /// The log may refuse for a reason that the history has given it.
    pub(super) fn expect_trouble(&self, kind: Kind) {
        let log = &self.engine().journal.log;
        match kind {
            Kind::Full => {}
            Kind::Poisoned => assert!(log.stats().poisoned),
            Kind::Unavailable | Kind::Closed => {}
            _ => panic!("refused as {kind:?}"),
        }
    }

    pub(super) fn receive(&mut self, seen: &mut Seen) {
        let Some((name, queue)) = self.some_queue(&[
            "plain", "kept", "kept", "newest", "newest", "newest", "short", "head", "dead", "classes",
            "keyed", "keyed", "brief", "fan", "fan", PARKED,
        ]) else {
            return;
        };
        let now = self.now();
        let head = self.story.model.queues[&queue].next(now).into_iter().next();
        let is_over = self.story.model.queues[&queue].is_over(now);
        if is_over || head.is_some_and(|head| self.story.model.queues[&queue].items[&head].has_expired(now)) {
            // The log did not take a departure, and may take it while this receiver waits.
            return;
        }
        let for_life = self.random.one_in(4) && name.as_str() != "newest";
        let hold = match (for_life, self.random.one_in(2)) {
            (true, _) => Some(Duration::MAX),
            (false, true) => Some(Duration::from_secs(1 + self.random.below(40))),
            (false, false) => None,
        };
        let count_max = 1 + self.random.below(4) as usize;
        let receive = Receive { count_max, hold, wait_until: now };
        let (taken, sequences) = self.appended(|engine| {
            let queue = engine.topology.find(&name)?;
            until_ready(engine, engine.take(&queue, &receive))
        });
        let deliveries = match taken {
            Ok(deliveries) => deliveries,
            Err(error) => return self.expect_trouble(error.kind()),
        };
        let items = &self.story.model.queues[&queue].items;
        let mut ready = self.story.model.queues[&queue].next(now);
        if let Some(expired) = ready.iter().position(|position| items[position].has_expired(now)) {
            ready.truncate(expired);
        }
        if self.story.model.queues[&queue].paused {
            ready.clear();
        }
        assert_eq!(deliveries.len(), sequences.clone().count());
        if deliveries.len() < ready.len().min(count_max) {
            // What is ready is handed out, unless the log takes no more such records.
            let (position, attempt, token) = (0, 0, 0);
            let one_more = Record::Deliver { queue: 0, position, attempt, token, held_until: now };
            assert!(self.engine().journal.append(&one_more).is_err());
        }
        for ((delivery, sequence), expected) in deliveries.iter().zip(sequences).zip(ready) {
            let DeliveryId { position, token } = delivery.id;
            assert_eq!(position, expected, "in order, and what nobody holds");
            let item = &self.story.model.queues[&queue].items[&position];
            assert_eq!(delivery.message.id.as_str(), item.id);
            assert_eq!(delivery.message.payload.len(), item.payload);
            assert_eq!(delivery.attempt, item.attempts + 1);
            assert_eq!(delivery.history.len(), item.history.len());
            let until = delivery.held_until;
            assert_eq!(until, now + hold.unwrap_or(Self::settings(name.as_str()).hold));
            self.story.tell(sequence, Change::Hold { queue, position, token, until });
            seen.note("delivered", 1);
        }
    }

    /// Some delivery that is held.
    pub(super) fn some_held(&mut self) -> Option<(QueueName, u64, DeliveryId)> {
        let held = self.story.model.queues.iter().flat_map(|(number, queue)| {
            queue.items.iter().filter_map(|(position, item)| match item.place {
                Place::Held { token, .. } => {
                    let name = QueueName::new(&queue.name).unwrap();
                    Some((name, *number, DeliveryId { position: *position, token }))
                }
                Place::Waiting(_) => None,
            })
        });
        let held: Vec<_> = held.collect();
        let index = self.random.below(held.len() as u64) as usize;
        held.into_iter().nth(index)
    }

    pub(super) fn settle(&mut self, seen: &mut Seen) {
        let Some((name, queue, id)) = self.some_held() else { return };
        self.settle_held(&name, queue, id, seen);
    }

    pub(super) fn settle_held(&mut self, name: &QueueName, queue: u64, id: DeliveryId, seen: &mut Seen) {
        let now = self.now();
        let outcome = match self.random.below(10) {
            0..5 => Outcome::Done,
            5 => Outcome::Return { seen: self.random.one_in(2) },
            6..8 => Outcome::RetryAt(now + Duration::from_secs(self.random.below(20))),
            _ => Outcome::DeadLetter(Reason::Rejected),
        };
        let (settled, sequences) = self.appended(|engine| engine.settle(name, id, outcome, Some("note")));
        let position = id.position;
        let item = &self.story.model.queues[&queue].items[&position];
        let published_at = item.published_at;
        let key = item.key.filter(|_| item.counts);
        let newest = key.and_then(|key| self.story.model.queues[&queue].newest(key));
        let overtaken = newest.is_some_and(|(newest, _)| newest > position);
        let retained = name.as_str() == "kept" && published_at + RETAINED > now;
        let what = match outcome {
            Outcome::Done if retained => "retained",
            Outcome::Done => "done",
            Outcome::Return { .. } | Outcome::RetryAt(_) if overtaken => "overtaken",
            Outcome::Return { seen: true } => "returned as seen",
            Outcome::Return { seen: false } => "returned",
            Outcome::RetryAt(_) => "retried",
            Outcome::DeadLetter(_) => "dead-lettered",
        };
        let mut last = *sequences.end();
        for (nth, sequence) in sequences.enumerate() {
            let change = match outcome {
                Outcome::Done | Outcome::Return { .. } | Outcome::RetryAt(_) if nth > 0 => {
                    // The queue has more than it may: with what came back, or since before.
                    last = last.min(sequence - 1);
                    self.tell_dropped(sequence, queue);
                    seen.note("dropped by a return", 1);
                    continue;
                }
                Outcome::Done if retained => Change::Finish { queue, position },
                Outcome::Done => Change::Gone { queue, position },
                Outcome::Return { .. } | Outcome::RetryAt(_) if overtaken => Change::Gone { queue, position },
                Outcome::Return { seen } => Change::Return { queue, position, seen },
                Outcome::RetryAt(at) => Change::Retry { queue, position, at },
                Outcome::DeadLetter(reason) => {
                    if !self.move_or_declare(sequence, queue, position, reason, seen) {
                        continue;
                    }
                    seen.note(what, 1);
                    continue;
                }
            };
            self.story.tell(sequence, change);
            seen.note(what, 1);
        }
        match settled {
            Ok(Some(sequence)) => {
                let is_awaited = !Self::is_of_process(name.as_str()) || what == "dead-lettered";
                assert_eq!(sequence, if is_awaited { last } else { 0 });
                self.wait_for(sequence);
                self.stale.push((name.clone(), id));
            }
            Ok(None) => panic!("{id} of {name} is held"),
            Err(error) => self.expect_trouble(error.kind()),
        }
    }

    /// A dead letter's record: its destination's declaration, if that was not there, or its move. True for the move, if it is
    /// the last.
    pub(super) fn move_or_declare(
        &mut self,
        sequence: u64,
        queue: u64,
        position: u64,
        reason: Reason,
        seen: &mut Seen,
    ) -> bool {
        let from = Self::settings(&self.story.model.queues[&queue].name);
        if from.dead_letter_exchange.is_some() {
            return self.copy_or_declare(sequence, queue, position, reason, seen);
        }
        let to = from.dead_letter.map_or(PARKED.to_owned(), |name| name.to_string());
        if to == from.name.as_str() {
            let at = self.now() + from.retry.backoff.longest;
            self.story.tell(sequence, Change::Retry { queue, position, at });
            return true;
        }
        match self.story.model.number(&to) {
            Some(to) => {
                self.story.tell(
                    sequence,
                    Change::Move { queue, position, to, reason: Some(reason), at: self.now(), stays: false },
                );
                true
            }
            None => {
                self.story.tell(sequence, Change::Declare(to));
                false
            }
        }
    }

    pub(super) fn settle_stale(&mut self, seen: &mut Seen) {
        let index = self.random.below(self.stale.len() as u64) as usize;
        let Some((name, id)) = self.stale.get(index).cloned() else { return };
        // A crash may have undone the end that nobody had been told is durable.
        let model = &self.story.model;
        let queue = model.number(name.as_str()).map(|number| &model.queues[&number]);
        let item = queue.and_then(|queue| queue.items.get(&id.position));
        if item.is_some_and(|item| matches!(item.place, Place::Held { token, .. } if token == id.token)) {
            return;
        }
        let (settled, sequences) = self.appended(|engine| engine.settle(&name, id, Outcome::Done, None));
        match settled {
            Ok(settled) => assert_eq!(settled, None, "a late word settles nothing"),
            Err(error) => assert_eq!(error.kind(), Kind::NotFound),
        }
        assert!(sequences.is_empty());
        seen.note("stale", 1);
    }

    pub(super) fn extend(&mut self, seen: &mut Seen) {
        let Some((name, queue, id)) = self.some_held() else { return };
        let hold = Duration::from_secs(1 + self.random.below(60));
        let (extended, sequences) = self.appended(|engine| engine.extend(&name, id, hold));
        for sequence in sequences {
            let until = self.now() + hold;
            self.story.tell(sequence, Change::Extend { queue, position: id.position, until });
            seen.note("extended", 1);
        }
        match extended {
            Ok(Some(until)) => assert_eq!(until, self.now() + hold),
            // Its end has come, and is offered to others.
            Ok(None) => {
                let Place::Held { until, .. } = self.story.model.queues[&queue].items[&id.position].place
                else {
                    panic!("it is held")
                };
                assert!(until <= self.now());
            }
            Err(error) => self.expect_trouble(error.kind()),
        }
    }

    pub(super) fn redrive(&mut self, seen: &mut Seen) {
        let Some((name, queue)) = self.some_queue(&["dead", PARKED]) else { return };
        let count_max = 1 + self.random.below(4) as usize;
        let now = self.now();
        let (redriven, sequences) =
            self.appended(|engine| until_ready(engine, engine.redrive(&name, count_max)));
        let mut ready = self.story.model.queues[&queue].ready(now).into_iter();
        for sequence in sequences {
            let position = ready.find(|position| self.returns_to(queue, *position).is_some()).unwrap();
            let to = self.returns_to(queue, position).unwrap();
            self.story
                .tell(sequence, Change::Move { queue, position, to, reason: None, at: now, stays: false });
            self.wait_for(sequence);
            seen.note("redriven", 1);
        }
        if let Err(error) = redriven {
            self.expect_trouble(error.kind());
        }
    }

    /// Where a dead letter would be sent back to.
    pub(super) fn returns_to(&self, queue: u64, position: u64) -> Option<u64> {
        let model = &self.story.model;
        let name = &model.queues[&queue].items[&position].history.last()?.0;
        let to = model.number(name).filter(|to| *to != queue)?;
        let has_room = model.queues[&to].waiting_len() < Self::settings(name).length_max;
        let key = model.queues[&queue].items[&position].key;
        let is_newest = key.is_none_or(|key| model.queues[&to].newest(key).is_none());
        let bytes =
            model.queues[&to].ready_bytes(self.now()) + model.queues[&queue].items[&position].payload as u64;
        let has_bytes = Self::settings(name).length_bytes_max.is_none_or(|max| bytes <= max);
        (has_room && has_bytes && is_newest).then_some(to)
    }

    pub(super) fn purge(&mut self, seen: &mut Seen) {
        let Some((name, queue)) = self.some_queue(&["plain", "newest", "short", "dead", "keyed"]) else {
            return;
        };
        let (purged, sequences) = self.appended(|engine| until_ready(engine, engine.purge(&name)));
        for sequence in sequences {
            self.story.tell(sequence, Change::Purge { queue });
            self.wait_for(sequence);
            seen.note("purged", 1);
        }
        if let Err(error) = purged {
            self.expect_trouble(error.kind());
        }
    }

    /// Pauses the queue, or lets it go on.
    pub(super) fn pause(&mut self, seen: &mut Seen) {
        let Some((name, queue)) = self.some_queue(&["short", "keyed", "classes"]) else { return };
        let paused = !self.story.model.queues[&queue].paused;
        let (done, sequences) = self.appended(|engine| engine.pause(&name, paused));
        for sequence in sequences {
            self.story.tell(sequence, Change::Pause { queue, paused });
            self.wait_for(sequence);
            seen.note("paused", u64::from(paused));
        }
        if let Err(error) = done {
            self.expect_trouble(error.kind());
        }
    }

    pub(super) fn delete(&mut self, seen: &mut Seen) {
        let Some((name, queue)) =
            self.some_queue(&["short", "short", "head", "dead", "dead", "kept", "newest", "brief"])
        else {
            return;
        };
        let routes = self.routes_of(queue);
        let (deleted, sequences) = self.appended(|engine| until_ready(engine, engine.delete(&name, None)));
        for sequence in sequences {
            let routes = routes.clone();
            seen.note("released with its queue", routes.len() as u64);
            self.story.tell(sequence, Change::Delete { queue, routes });
            self.wait_for(sequence);
            seen.note("deleted", 1);
        }
        if let Err(error) = deleted {
            self.expect_trouble(error.kind());
        }
    }
}
