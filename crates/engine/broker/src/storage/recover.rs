//! Rebuilding all queues from the records of the log.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::atomic::Ordering::Relaxed;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::queue::{Lifetime, QueueName, QueueSettings};
use forebay_core::time::Instant;
use forebay_log::{Damaged, LogOptions, Record as Logged};

use crate::records::message::Claim;
use crate::records::{Record, Status, message};
use crate::routing::change::Change;
use crate::state::entry::{Entry, NEVER};
use crate::state::marks::FoundMarks;
use crate::state::{State, counted};
use crate::storage::claims::ledger::After;
use crate::storage::journal::{Journal, Stored, bytes_in_log};
use crate::topology::{Queue, Topology};
use crate::virtual_hosts::{Host, Hosts, Routes, names};

/// What opening has found.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// What the log says of itself.
    pub log: forebay_log::Recovered,
    /// Queues.
    pub queues: u64,
    /// Messages that are ready.
    pub ready: u64,
    /// Messages in the hands of consumers that may still settle them.
    pub held: u64,
    /// Messages that wait for their time.
    pub delayed: u64,
    /// Records that were whole and made no sense, and messages whose payload's file is not what it was; 0 unless damage is
    /// set aside.
    pub unreadable: u64,
    /// The sequence of the last record: what was appended behind it is lost, and was never confirmed.
    pub last_sequence: u64,
}

/// What the records come to.
pub(crate) struct Rebuilt {
    pub(crate) hosts: Hosts,
    pub(crate) topology: Topology,
    pub(crate) recovered: Recovered,
}

/// The states of all queues while the log is replayed.
pub(crate) struct Replay {
    queues: HashMap<u64, State>,
    hosts: HashMap<String, Routes>,
    marks: HashMap<u64, FoundMarks>,
    /// By position, of all that had one when it came; many have left.
    claims: HashMap<u64, Claim>,
    now: Instant,
    damaged: Damaged,
    unreadable: u64,
    last_sequence: u64,
}

impl Replay {
    pub(crate) fn new(now: Instant, options: &LogOptions) -> Self {
        Self {
            queues: HashMap::new(),
            hosts: HashMap::new(),
            marks: HashMap::new(),
            claims: HashMap::new(),
            now,
            damaged: options.damaged,
            unreadable: 0,
            last_sequence: 0,
        }
    }

    /// Takes the step that the record stands for. Records about messages that are not here are of no meaning: their
    /// bodies lay in segments that were released, which is done only after their end.
    pub(crate) fn apply(&mut self, logged: Logged<'_>) -> Result<()> {
        let stored = Stored { location: logged.position.into(), bytes: bytes_in_log(logged.body.len()) };
        self.last_sequence = logged.position.sequence;
        let applied = Record::decode(logged.body).and_then(|record| {
            if record.kind() != logged.kind {
                return Err(Error::new(Kind::Damaged, "decode record", "its kind is not the log's"));
            }
            self.step(record, stored)
        });
        match (applied, self.damaged) {
            (Err(error), Damaged::Refuse) => {
                let context = format!("sequence {}, kind {}", logged.position.sequence, logged.kind);
                Err(Error::new(Kind::Damaged, "recover queues", context).because(error))
            }
            (Err(_), Damaged::SetAside) => {
                self.unreadable += 1;
                Ok(())
            }
            (Ok(()), _) => Ok(()),
        }
    }

    fn step(&mut self, record: Record<'_>, stored: Stored) -> Result<()> {
        let (sequence, now) = (stored.location.sequence, self.now);
        // The clock may have been set back since: no hold and no delay is longer than it could be if it began now, but one
        // for as long as the process lived.
        let held = |until: Instant| if until == NEVER { NEVER } else { until.min(now + limits::HOLD_MAX) };
        let delayed = |until: Instant| until.min(now + limits::DELAY_MAX);
        match record {
            Record::Declare { number, settings, paused } => {
                let number = if number == 0 { sequence } else { number };
                let state = self.queue(number)?;
                state.declare(settings, paused, stored);
            }
            Record::Delete { queue, changes } => {
                self.remove(queue);
                self.route(&changes, stored)?;
            }
            Record::Route { changes } => self.route(&changes, stored)?,
            Record::End { queues } => queues.into_iter().for_each(|queue| self.remove(queue)),
            Record::Reopen { queues } => {
                for queue in queues {
                    // It may be gone since, and with it all that was held.
                    self.queues.get_mut(&queue).into_iter().for_each(|state| state.end_holds_of_process(now));
                }
            }
            Record::Purge { queue } => self.queue(queue)?.purge().for_each(drop),
            Record::Put {
                queue,
                position,
                published_at,
                attempts,
                expires_at,
                status,
                replaces,
                message,
                ..
            } => {
                let glance = message::glance(message.head)?;
                if let Some(id) = glance.dedup_id.filter(|_| position == 0) {
                    self.marks.entry(queue).or_default().put(id, published_at, stored);
                }
                let is_new = position == 0;
                let position = if is_new { sequence } else { position };
                self.claims.extend(glance.claim.map(|claim| (position, claim)));
                let state = self.queue(queue)?;
                if let Some(replaces) = replaces {
                    let key = glance.key.filter(|_| status != Status::Finished);
                    let waiting = key.filter(|_| is_new).and_then(|key| state.waiting_with(key));
                    drop(state.take(waiting.unwrap_or(replaces)));
                    key.into_iter().for_each(|key| state.note_key(position, key));
                }
                if let Some((entry, _)) = state.find(position) {
                    // It was carried forward, and the old place is still there.
                    entry.carried(stored);
                    return Ok(());
                }
                if status != Status::Finished {
                    state.note_payload(position, glance.payload_bytes);
                }
                let mut entry = Entry::new(position, stored, published_at, glance.rank());
                entry.attempts = counted(attempts);
                glance.claim.iter().for_each(|_| entry.set_claim());
                entry.expire_at(expires_at.unwrap_or(NEVER));
                match status {
                    Status::Ready => state.arrive(entry, None, now),
                    Status::Delayed { until } => state.arrive(entry, Some(delayed(until)), now),
                    Status::Held { token, until } => state.hold(entry, token, held(until)),
                    Status::Finished => state.finished.keep(entry),
                }
            }
            Record::Deliver { queue, position, attempt, token, held_until } => {
                self.queue(queue)?.deliver(position, attempt, token, held(held_until));
            }
            Record::Extend { queue, position, held_until } => {
                self.queue(queue)?.unsettled.extend(position, held(held_until));
            }
            Record::Settle { queue, position } => {
                self.claims.remove(&position);
                let state = self.queue(queue)?;
                // A retained message has ended long ago; if it is settled once more, it could not be read.
                drop(state.take(position).or_else(|| state.finished.remove(position)));
            }
            Record::Retain { queue, position } => {
                let state = self.queue(queue)?;
                state.take(position).into_iter().for_each(|entry| state.finished.keep(entry));
            }
            Record::Retry { queue, position, at } => {
                self.queue(queue)?.retry(position, delayed(at), now);
            }
            Record::Return { queue, position, seen } => drop(self.queue(queue)?.give_back(position, seen)),
            Record::Move { from, position, to, at, expires_at, stays, is_newest, message, .. } => {
                let glance = message::glance(message.head)?;
                let mut entry = Entry::new(sequence, stored, at, glance.rank());
                if let Some(claim) = glance.claim {
                    entry.set_claim();
                    self.claims.insert(sequence, claim);
                }
                if !stays {
                    self.claims.remove(&position);
                    self.queue(from)?.take(position);
                }
                entry.expire_at(expires_at.unwrap_or(NEVER));
                let state = self.queue(to)?;
                state.note_payload(sequence, glance.payload_bytes);
                glance.key.filter(|_| is_newest).into_iter().for_each(|key| state.note_key(sequence, key));
                state.arrive(entry, None, now);
            }
            Record::Marks { queue, marks } => self.marks.entry(queue).or_default().record(&marks, stored),
        }
        Ok(())
    }

    fn route(&mut self, changes: &[&[u8]], stored: Stored) -> Result<()> {
        for bytes in changes {
            let (vhost, change) = Change::decode(bytes)?;
            if !self.hosts.contains_key(vhost) {
                self.hosts.insert(vhost.to_owned(), Routes::default());
            }
            self.hosts.get_mut(vhost).into_iter().for_each(|host| drop(host.apply(&change, Some(stored))));
        }
        Ok(())
    }

    fn remove(&mut self, queue: u64) {
        self.queues.remove(&queue);
        self.marks.remove(&queue);
    }

    /// Writes down that the queues of processes that are gone are gone too.
    fn end_processes(&mut self, journal: &Journal) -> Result<()> {
        let of_process = |(_, state): &(&u64, &State)| state.settings.lifetime == Lifetime::Process;
        let mut ended: Vec<_> = self.queues.iter().filter(of_process).map(|(number, _)| *number).collect();
        ended.sort_unstable();
        for queues in ended.chunks((journal.message_bytes_max() / size_of::<u64>()).max(1)) {
            journal.append(&Record::End { queues: queues.to_vec() })?;
            queues.iter().for_each(|queue| self.remove(*queue));
        }
        Ok(())
    }

    /// Writes down that nobody holds any more what processes that are gone held for as long as they lived. Whoever receives
    /// first finds it in its place already.
    fn end_holds(&mut self, journal: &Journal) -> Result<()> {
        let has_some = |(_, state): &(&u64, &State)| state.unsettled.of_process().next().is_some();
        let mut ended: Vec<_> = self.queues.iter().filter(has_some).map(|(number, _)| *number).collect();
        ended.sort_unstable();
        for queues in ended.chunks((journal.message_bytes_max() / size_of::<u64>()).max(1)) {
            journal.append(&Record::Reopen { queues: queues.to_vec() })?;
            for queue in queues {
                self.queues.get_mut(queue).into_iter().for_each(|state| state.end_holds_of_process(self.now));
            }
        }
        Ok(())
    }

    /// A queue's declaration may have been carried forward behind its messages: until it comes the queue has a name
    /// that says what is known of it, and keeps that only if the declaration was among what was set aside as damaged.
    fn queue(&mut self, number: u64) -> Result<&mut State> {
        Ok(match self.queues.entry(number) {
            Slot::Occupied(present) => present.into_mut(),
            Slot::Vacant(vacant) => {
                let name = QueueName::new(&format!("forebay.recovered.{number}"))?;
                vacant.insert(State::new(QueueSettings::new(name), None))
            }
        })
    }

    /// Counts what lives where, and hands queues and virtual hosts over.
    pub(crate) fn finish(mut self, journal: &Journal, log: forebay_log::Recovered) -> Result<Rebuilt> {
        let mut recovered = Recovered {
            log,
            queues: 0,
            ready: 0,
            held: 0,
            delayed: 0,
            unreadable: self.unreadable,
            last_sequence: self.last_sequence,
        };
        // Leftovers of a queue that was deleted before, and whose deletion lies in a segment that is gone.
        self.queues.retain(|_, state| state.declared.is_some() || state.len() > 0);
        self.end_processes(journal)?;
        self.end_holds(journal)?;
        let claims = &journal.claims;
        for (number, state) in &mut self.queues {
            recovered.unreadable += find_claims(journal, *number, state, &self.claims)?;
            if state.declared.is_none() {
                let settings = state.settings.clone();
                tracing::warn!(queue = %settings.name, "queue lost its declaration, and keeps its messages");
                let record = Record::Declare { number: *number, settings, paused: false };
                state.declared = Some(journal.append_body(&record)?);
            } else if let Some(declared) = state.declared {
                journal.found(declared);
            }
            state.keep_order();
            if let Some(found) = self.marks.remove(number) {
                state.marks = found.into_marks(self.now, state.settings.dedup_window);
                state.marks.records().for_each(|record| journal.found(record));
            }
            let stats = state.stats(self.now);
            recovered.queues += 1;
            recovered.ready += stats.ready;
            recovered.held += stats.held;
            recovered.delayed += stats.delayed;
            state.finished.none_younger_than(self.now);
            while let Some(entry) = state.pop_unretained(self.now) {
                let after = After::Record { queue: *number, position: entry.position };
                claims.leave(entry.position, after);
            }
            journal.retained.fetch_add(state.finished.len() as u64, Relaxed);
            state.entries().for_each(|entry| journal.found(entry.stored()));
        }
        let lost_records = log.set_aside + self.unreadable > 0;
        claims.sweep(lost_records)?;
        let queues = self.queues.into_iter().map(|(number, state)| Queue::new(number, state));
        let topology = Topology::new(queues);
        let mut hosts = Vec::new();
        for (vhost, routes) in self.hosts {
            let exists = |queue: &QueueName| {
                names::queue_name(&vhost, queue.as_str()).is_ok_and(|queue| topology.has(&queue))
            };
            hosts.push(Host::recovered(&vhost, routes, exists, journal)?);
        }
        Ok(Rebuilt { hosts: Hosts::new(hosts.into_iter()), topology, recovered })
    }
}

/// Accounts for the claims of a queue's messages. A message whose file is not what it was is refused or given up, as the
/// options say; returns how many were.
fn find_claims(
    journal: &Journal,
    number: u64,
    state: &mut State,
    claims: &HashMap<u64, Claim>,
) -> Result<u64> {
    let claimed = |entry: &Entry| Some((entry.position, *claims.get(&entry.position)?));
    let claimed: Vec<_> = state.entries().filter(|entry| entry.has_claim()).filter_map(claimed).collect();
    let mut lost = 0;
    for (position, claim) in claimed {
        journal.claims.found(position, claim);
        let Err(error) = journal.claims.verify(claim, journal.damaged) else { continue };
        let queue = &state.settings.name;
        if journal.damaged == Damaged::Refuse || error.kind() != Kind::Damaged {
            return Err(Error::new(error.kind(), "recover queue", queue.to_string()).because(error));
        }
        tracing::error!(%queue, position, %error, "message with a damaged payload set aside");
        journal.claims.set_aside(position)?;
        journal.append(&Record::Settle { queue: number, position })?;
        drop(state.take(position).or_else(|| state.finished.remove(position)));
        lost += 1;
    }
    Ok(lost)
}
