//! Looking at the broker: against the model, against its own accounts, and from outside.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use forebay_core::delivery::Outcome;
use forebay_core::error::Kind;
use forebay_core::ports::broker::{Receive, ReplayFrom};
use forebay_core::queue::{Order, QueueName};

use super::model::{DEDUP_IDS, Place};
use super::world::{RETAINED, Seen, World};
use crate::bench::until_ready;
use crate::records::message::Decoded;
use crate::records::{Record, Status, message};
use crate::state::entry::NEVER;
use crate::storage::claims::file;

impl World {
    /// Compares all that the broker holds with the model.
    pub(super) fn check(&self) {
        let engine = self.engine();
        let now = self.now();
        let queues = engine.topology.all();
        let mut numbers: Vec<_> = queues.iter().map(|queue| queue.number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, self.story.model.queues.keys().copied().collect::<Vec<_>>());
        for queue in queues {
            let expected = &self.story.model.queues[&queue.number];
            assert_eq!(queue.name.as_str(), expected.name);
            let mut state = queue.lock().unwrap();
            assert_eq!(state.settings, Self::settings(&expected.name));
            assert_eq!(state.paused, expected.paused);
            assert_eq!(state.len(), expected.items.len() as u64, "{}", expected.name);
            let limited = state.settings.length_bytes_max.is_some();
            let bytes = if limited { expected.ready_bytes(now) } else { 0 };
            assert_eq!(state.ready.payload_bytes(), bytes, "{}", expected.name);
            for id in DEDUP_IDS {
                let is_taken = state.marks.find(id, now, state.settings.dedup_window).is_some();
                assert_eq!(is_taken, expected.has_taken(id, now), "{id} of {}", expected.name);
            }
            for (position, item) in &expected.items {
                let Some((entry, status)) = state.find(*position) else {
                    panic!("{} of {} is lost", item.id, expected.name)
                };
                assert_eq!(u32::from(entry.attempts), item.attempts, "{}", item.id);
                match (status, item.place) {
                    (Status::Ready, Place::Waiting(from)) => assert!(from <= now, "{}", item.id),
                    (Status::Delayed { until }, Place::Waiting(from)) => {
                        assert_eq!(until, from, "{}", item.id)
                    }
                    (Status::Held { token, until }, Place::Held { token: expected, until: end }) => {
                        assert_eq!((token, until), (expected, end), "{}", item.id);
                    }
                    (is, should) => panic!("{} is {is:?} and should be {should:?}", item.id),
                }
                let expires_at = Some(entry.expires_at()).filter(|at| *at != NEVER);
                assert_eq!(expires_at, item.expires_at, "{}", item.id);
                let body = engine.journal.read(entry.stored().location).unwrap();
                let record = Record::decode(&body).unwrap();
                let start = body.len() - record.message().head.len();
                let Decoded { message, claim } = message::decode(&body, start).unwrap();
                assert_eq!(message.id.as_str(), item.id);
                let payload = claim.map(|claim| file::read(&*engine.journal.claims.files, claim).unwrap());
                assert_eq!(payload.unwrap_or(message.payload).len(), item.payload);
                let history = record.into_history();
                let told: Vec<_> = history
                    .into_iter()
                    .map(|h| (h.queue.to_string(), h.reason, h.count, h.attempts))
                    .collect();
                assert_eq!(told, item.history, "{}", item.id);
            }
        }
    }

    /// The accounts of what lives where, what is kept in memory, and what comes due agree with the queues.
    pub(super) fn audit(&self) {
        let engine = self.engine();
        let mut tallies = BTreeMap::<u64, (u64, u64)>::new();
        let queues = engine.topology.all();
        let states: Vec<_> = queues.iter().map(|queue| queue.lock().unwrap()).collect();
        let entries = || states.iter().flat_map(|state| state.entries());
        let retained: usize = states.iter().map(|state| state.finished.len()).sum();
        assert_eq!(engine.journal.retained.load(Relaxed), retained as u64);
        let declared = states.iter().map(|state| state.declared.unwrap());
        let marks = states.iter().flat_map(|state| state.marks.records());
        let hosts = engine.hosts.all();
        let routes: Vec<_> = hosts.iter().flat_map(|host| host.read().stored().collect::<Vec<_>>()).collect();
        assert_eq!(self.routes(), self.story.model.routes);
        for stored in declared.chain(marks).chain(routes).chain(entries().map(|entry| entry.stored())) {
            let tally = tallies.entry(stored.location.segment.into()).or_default();
            *tally = (tally.0 + 1, tally.1 + u64::from(stored.bytes));
        }
        assert_eq!(engine.journal.tallies(), tallies);
        let (account, kept) = engine.hot.audit(entries());
        assert_eq!(account, kept);
        let with_claims = entries().filter(|entry| entry.has_claim()).map(|entry| entry.position);
        let (claims, _) = engine.journal.claims.audit();
        assert_eq!(with_claims.collect::<BTreeSet<_>>(), claims.keys().copied().collect());
        let files = self.claim_files();
        assert!(claims.values().all(|claim| files.contains(&claim.file)), "a file is missing");
        assert!(files.is_subset(&engine.journal.claims.known()), "a file is forgotten");
        for state in &states {
            let (noted, should) = state.unsettled.audit();
            assert_eq!(noted, should);
            assert!(state.ready.audit().1);
        }
    }

    /// What is retained was finished, is there for its time unless space was wanted, and is read again in its order.
    pub(super) fn look_at_retained(&mut self, seen: &mut Seen) {
        let (engine, now) = (self.engine(), self.now());
        let Some(number) = self.story.model.number("kept") else { return };
        let expected = &self.story.model.queues[&number];
        let name = QueueName::new("kept").unwrap();
        let found = engine.topology.find(&name).unwrap();
        let mut all = expected.items.clone();
        {
            let state = found.lock().unwrap();
            if state.counts.retained_dropped > 0 && !self.gave_way {
                self.gave_way = true;
                seen.note("gave way", 1);
            }
            for entry in state.finished.after(0) {
                all.insert(entry.position, expected.finished[&entry.position].clone());
            }
        }
        for (position, item) in &expected.finished {
            let is_due = item.published_at + RETAINED > now;
            assert!(!is_due || self.gave_way || all.contains_key(position), "{} is forgotten", item.id);
            seen.note("forgotten in time", u64::from(!all.contains_key(position)));
        }
        let (mut from, mut replayed) = (ReplayFrom::Position(0), Vec::new());
        loop {
            let next = match until_ready(&engine, engine.replay(&name, from, 3)) {
                Ok(next) => next,
                // The disk is off.
                Err(error) => return self.expect_trouble(error.kind()),
            };
            let Some(last) = next.last() else { break };
            from = ReplayFrom::Position(last.position);
            replayed.extend(next);
        }
        let told = replayed.iter().map(|one| (one.position, one.message.id.as_str(), one.published_at));
        let should = all.iter().map(|(position, item)| (*position, &*item.id, item.published_at));
        assert!(told.eq(should), "{replayed:?} instead of {all:?}");
        seen.note("replayed", replayed.len() as u64);
    }

    /// Receives and settles everything as any consumer would.
    pub(super) fn check_from_outside(&mut self, seen: &mut Seen) {
        self.clock.advance(Duration::from_secs(100));
        self.sweep(seen);
        let (engine, now) = (self.engine(), self.now());
        let mut ids = BTreeSet::new();
        for (number, queue) in &self.story.model.queues {
            let name = QueueName::new(&queue.name).unwrap();
            let found = engine.topology.numbered(*number).unwrap();
            found.lock().unwrap().paused = false;
            let mut received = Vec::new();
            loop {
                let receive = Receive { count_max: 3, hold: None, wait_until: now };
                let deliveries = match until_ready(&engine, engine.take(&found, &receive)) {
                    Ok(deliveries) if deliveries.is_empty() => break,
                    Ok(deliveries) => deliveries,
                    Err(error) if error.kind() == Kind::Full => {
                        while engine.journal.log.step() {}
                        engine.free_step().unwrap();
                        continue;
                    }
                    Err(error) => panic!("{error}"),
                };
                for delivery in deliveries {
                    assert!(
                        ids.insert(delivery.message.id.clone()) || Self::may_be_a_copy(&delivery),
                        "{} is in two places",
                        delivery.message.id.as_str()
                    );
                    received.push(delivery.id.position);
                    while let Err(error) = engine.settle(&name, delivery.id, Outcome::Done, None) {
                        assert_eq!(error.kind(), Kind::Full);
                        while engine.journal.log.step() {}
                        engine.free_step().unwrap();
                    }
                }
            }
            // Messages that expired behind the first have come to the dead letters only now.
            received.retain(|position| queue.items.contains_key(position));
            let mut expected = queue.ready(now);
            expected.retain(|position| !queue.items[position].has_expired(now));
            let settings = Self::settings(&queue.name);
            if settings.order == Order::Key {
                // In order of each key; those of other keys have passed them.
                let held = queue.held_keys(now);
                let key = |position: &u64| queue.items[position].key;
                expected.retain(|position| key(position).is_none_or(|key| !held.contains(key)));
                expected.sort_by_key(key);
                received.sort_by_key(key);
                seen.note("received by key", received.len() as u64);
            }
            expected
                .sort_by_key(|position| Reverse(queue.items[position].priority.min(settings.priority_max)));
            assert_eq!(received, expected, "{name}");
            seen.note("received at the end", received.len() as u64);
        }
    }
}
