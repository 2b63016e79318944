//! Giving segments of the log back: at once where nothing lives, and by carrying forward what little does.
//!
//! Only a prefix of the log is ever released; [`records`](crate::records) says why that is safe.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};

use forebay_core::delivery::History;
use forebay_core::error::{Kind, Result};
use forebay_core::limits;
use forebay_core::ports::clock::{Run, Work};
use forebay_log::{Damaged, Position, Record as Logged};

use crate::engine::Engine;
use crate::records::{MessageBytes, Record, Status, message};
use crate::routing::change::Change;
use crate::state::entry::{Location, NEVER};
use crate::storage::claims::file;
use crate::storage::claims::ledger::{After, Leaving};
use crate::storage::journal::{Chance, Stored};
use crate::topology::Queue;

/// What a step has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// There was nothing to do.
    Idle,
    /// Something is done, and there may be more.
    Worked,
    /// The next step needs this sequence to be durable.
    Wait(u64),
}

/// The thread that looks after the space: it reads and copies whole segments.
pub(crate) fn work(engine: Arc<Engine>) -> Work {
    Work { name: "broker space", run: Run::Thread(Box::new(move || run(&engine))) }
}

fn run(engine: &Engine) {
    let mut wait = None;
    while engine.journal.wait_for_bell(wait) {
        wait = match free_all(engine) {
            // The log was not ready for copies, and will be without a word.
            Err(error) if error.kind() == Kind::Full => Some(limits::QUEUE_PAUSE),
            Err(error) if !matches!(error.kind(), Kind::Unavailable | Kind::Closed | Kind::Poisoned) => {
                tracing::error!(%error, "the log's oldest segment cannot be freed");
                None
            }
            _ => None,
        };
    }
}

fn free_all(engine: &Engine) -> Result<()> {
    loop {
        match engine.free_step()? {
            Step::Idle => return Ok(()),
            Step::Worked => {}
            Step::Wait(sequence) => engine.journal.log.wait_durable(sequence)?,
        }
    }
}

impl Engine {
    /// Removes claimed files that are to go; else releases what can be released, or carries forward what lives in the
    /// oldest segment: at most one segment a step.
    pub(crate) fn free_step(&self) -> Result<Step> {
        // Files may be leaving all the time, and the log has its turn all the same; but with room on its way nothing gives way
        // to want of it.
        match self.remove_left() {
            Ok(Step::Idle) => self.free_log(true),
            Ok(Step::Worked) => self.free_log(false).map(|_| Step::Worked),
            Ok(Step::Wait(sequence)) => match self.free_log(false)? {
                Step::Idle => Ok(Step::Wait(sequence)),
                step => Ok(step),
            },
            // What the log refused may only need what this frees.
            Err(error) => match self.free_log(true)? {
                Step::Idle => Err(error),
                step => Ok(step),
            },
        }
    }

    /// Removes files whose messages have left, durably. Should that be lost in a crash, opening sweeps them away.
    fn remove_left(&self) -> Result<Step> {
        let claims = &self.journal.claims;
        let durable = self.journal.log.durable_sequence();
        let (mut later, mut refused, mut first, mut removed) = (Vec::new(), Ok(()), None::<u64>, false);
        for mut leaving in claims.take_leaving(limits::SLICE_MESSAGES_MAX) {
            if let After::Record { queue, position } = leaving.after {
                match self.journal.append(&Record::Settle { queue, position }) {
                    Ok(at) => leaving.after = After::Durable(at.sequence),
                    Err(error) => refused = Err(error),
                }
            }
            match leaving.after {
                After::Durable(sequence) if sequence > durable => {
                    first = Some(first.map_or(sequence, |first| first.min(sequence)));
                    later.push(leaving);
                }
                After::Record { .. } => later.push(leaving),
                // A copy of the message has it still.
                After::Nothing | After::Durable(_) if claims.let_go(leaving.claim.file) => removed = true,
                After::Nothing | After::Durable(_) => {
                    match file::remove(&*claims.files, leaving.claim.file) {
                        Ok(()) => {
                            claims.gone(leaving.claim);
                            removed = true;
                        }
                        // It takes its space for as long, and is tried again when there is something to do again.
                        Err(error) => {
                            tracing::warn!(%error, "payload file of a message that is gone stays for now");
                            later.push(Leaving { after: After::Nothing, ..leaving });
                        }
                    }
                }
            }
        }
        claims.leave_later(later);
        refused?;
        Ok(match first {
            _ if removed => Step::Worked,
            Some(sequence) => Step::Wait(sequence),
            None => Step::Idle,
        })
    }

    fn free_log(&self, may_give_way: bool) -> Result<Step> {
        let (chance, last) = self.journal.chance();
        let durable = self.journal.log.durable_sequence() >= last;
        match chance {
            Chance::None => Ok(Step::Idle),
            // Nobody was promised more than that they are kept while there is room.
            Chance::GiveWay if !may_give_way => Ok(Step::Idle),
            Chance::GiveWay => match self.give_way(usize::MAX) {
                Some((queue, count)) => {
                    let queue = &queue.name;
                    tracing::warn!(%queue, count, "retained messages give way: the log has little space left");
                    Ok(Step::Worked)
                }
                None => Ok(Step::Idle),
            },
            // The lives that ended did so by records that may not be durable yet. Were the bodies released first, a
            // crash could take both, and with them a message whose end was never confirmed.
            _ if !durable => Ok(Step::Wait(last)),
            Chance::Release { before } => self.release(before),
            Chance::Carry { segment } => {
                let damage = self.journal.log.scan(segment, &mut |logged| self.carry(logged))?;
                if !damage.is_empty() {
                    self.leave_damage(segment, damage)?;
                }
                // Nothing was carried if all that lives here has left its queue and is about to be forgotten; the bell
                // rings then.
                let carried = self.journal.last() > last || self.journal.chance().0 != chance;
                Ok(if carried { Step::Worked } else { Step::Idle })
            }
        }
    }

    /// Releases segments in which nothing lives up to the first with dedup ids that count. Those of the first are
    /// written anew, and once that is durable the segment can go: one at a time, so that there is room for it.
    fn release(&self, before: u64) -> Result<Step> {
        let queues = self.topology.all();
        let needed = queues.iter().filter_map(|queue| queue.lock().ok()?.marks.needs()).min();
        let before = needed.map_or(before, |needed| needed.min(before));
        let oldest = *self.journal.log.segments().start();
        if before > oldest {
            return Ok(if self.journal.release(before)? { Step::Worked } else { Step::Idle });
        }
        for queue in queues {
            while self.keep_marks(&queue, oldest)? {}
        }
        Ok(Step::Worked)
    }

    /// Writes some of the queue's marks anew that would be lost without this segment; false if there were none.
    fn keep_marks(&self, queue: &Queue, segment: u64) -> Result<bool> {
        let Ok(mut state) = queue.lock() else { return Ok(false) };
        let window = state.settings.dedup_window;
        state.marks.forget(self.clock.now(), window, |stored| self.journal.died(stored));
        let bytes_max = self.journal.message_bytes_max();
        let Some((record, count)) = state.marks.next_record(queue.number, segment, bytes_max) else {
            return Ok(false);
        };
        let stored = self.journal.append_body(&record)?;
        state.marks.keep(count, stored);
        Ok(true)
    }

    /// Writes those marks of the queue anew that lie in a record of their own there.
    fn carry_marks(&self, queue: &Queue, lies_there: impl Fn(Stored) -> bool) -> Result<()> {
        let Ok(mut state) = queue.lock() else { return Ok(()) };
        let window = state.settings.dedup_window;
        state.marks.forget(self.clock.now(), window, |stored| self.journal.died(stored));
        while let Some((record, old)) = state.marks.record_again(queue.number, &lies_there) {
            let stored = self.journal.append_body(&record)?;
            state.marks.carried(old, stored);
            self.journal.died(old);
        }
        Ok(())
    }

    /// Appends again what the record brought, if it still lives there. Under the lock of its queue, so that whatever
    /// ends its life comes behind in the log. A crash before the old segment is released is harmless: recovery finds
    /// the message in both places, and takes the later one.
    fn carry(&self, logged: Logged<'_>) -> Result<()> {
        let position = logged.position;
        // What makes no sense brought nothing: opening has refused it, or has passed it as this does.
        let Ok(record) = Record::decode(logged.body) else { return Ok(()) };
        match record {
            Record::Declare { number, settings, paused } => {
                let number = if number == 0 { position.sequence } else { number };
                let Some(queue) = self.topology.numbered(number) else { return Ok(()) };
                let Ok(mut state) = queue.lock() else { return Ok(()) };
                if let Some(declared) = state.declared.filter(|declared| lies_at(*declared, position)) {
                    let record = Record::Declare { number, settings, paused };
                    state.declared = Some(self.journal.append_body(&record)?);
                    self.journal.died(declared);
                }
                Ok(())
            }
            Record::Put { queue, position: name, history, message, .. } => {
                let name = if name == 0 { position.sequence } else { name };
                self.carry_message(queue, name, position, history, message)
            }
            Record::Move { to, history, message, .. } => {
                self.carry_message(to, position.sequence, position, history, message)
            }
            Record::Marks { queue, .. } => match self.topology.numbered(queue) {
                Some(queue) => self.carry_marks(&queue, |stored| lies_at(stored, position)),
                None => Ok(()),
            },
            Record::Route { changes } => {
                for bytes in changes {
                    self.carry_change(bytes, |stored| lies_at(stored, position))?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Writes an exchange or a binding again that lives there.
    fn carry_change(&self, bytes: &[u8], lies_there: impl Fn(Stored) -> bool) -> Result<()> {
        let Ok((vhost, change)) = Change::decode(bytes) else { return Ok(()) };
        match self.hosts.find(vhost) {
            Some(host) => host.write().carry(&self.journal, Some(&change), lies_there),
            None => Ok(()),
        }
    }

    /// Deals with what lives in damaged places of a segment, after all else was carried out of it. What memory still has
    /// is written again from there. The rest is given up, once its bytes are copied aside, if the options say so; if
    /// not, the segment stays, and with it the alarm that the log has raised.
    fn leave_damage(&self, segment: u64, damage: Vec<Range<u32>>) -> Result<()> {
        let lives_there = |stored: Stored| u64::from(stored.location.segment) == segment;
        let mut lost = Vec::new();
        for host in self.hosts.all() {
            host.write().carry(&self.journal, None, lives_there)?;
        }
        for queue in self.topology.all() {
            self.carry_marks(&queue, lives_there)?;
            let Ok(mut state) = queue.lock() else { continue };
            if let Some(declared) = state.declared.filter(|declared| lives_there(*declared)) {
                let (number, settings) = (queue.number, state.settings.clone());
                let record = Record::Declare { number, settings, paused: state.paused };
                state.declared = Some(self.journal.append_body(&record)?);
                self.journal.died(declared);
            }
            let there: Vec<_> = state
                .entries()
                .filter(|entry| lives_there(entry.stored()))
                .map(|entry| (entry.position, entry.stored(), entry.body.clone()))
                .collect();
            drop(state);
            for (position, stored, body) in there {
                match body {
                    // Only what was published here is in memory, and that has neither history nor claim.
                    Some(body) => {
                        let head = message::head(&body, None);
                        let message = MessageBytes { head: &head, payload: &body.payload };
                        self.carry_message(
                            queue.number,
                            position,
                            stored.location.into(),
                            Vec::new(),
                            message,
                        )?;
                    }
                    None => lost.push((queue.clone(), position)),
                }
            }
        }
        if lost.is_empty() {
            return Ok(());
        }
        if self.journal.damaged == Damaged::Refuse {
            self.journal.stuck.store(segment, Release);
            return Ok(());
        }
        for stretch in damage {
            self.journal.log.copy_aside(segment, stretch)?;
        }
        for (queue, position) in lost {
            let Ok(mut state) = queue.lock() else { continue };
            let is_there = state.find(position).is_some_and(|(entry, _)| lives_there(entry.stored()));
            if is_there {
                tracing::error!(queue = %queue.name, position, "damaged message set aside");
                self.journal.claims.set_aside(position)?;
                self.journal.append(&Record::Settle { queue: queue.number, position })?;
                match state.take(position) {
                    Some(entry) => self.forget(entry),
                    None => state.finished.remove(position).into_iter().for_each(|entry| {
                        self.journal.retained.fetch_sub(1, Relaxed);
                        self.forget(entry);
                    }),
                }
                state.counts.dropped += 1;
                self.changed(&queue, &mut state);
            }
        }
        Ok(())
    }

    fn carry_message(
        &self,
        number: u64,
        position: u64,
        at: Position,
        history: Vec<History>,
        message: MessageBytes<'_>,
    ) -> Result<()> {
        let Some(queue) = self.topology.numbered(number) else { return Ok(()) };
        let Ok(mut state) = queue.lock() else { return Ok(()) };
        let Some((entry, status)) = state.find(position) else { return Ok(()) };
        let old = entry.stored();
        if !lies_at(old, at) {
            return Ok(());
        }
        // After a restart what could not be read is tried at once, before others of its key.
        let is_put_off = entry.holds_key() && entry.attempts == 0;
        let status = if is_put_off { Status::Ready } else { status };
        let (published_at, attempts) = (entry.published_at(), entry.attempts.into());
        let expires_at = Some(entry.expires_at()).filter(|expires_at| *expires_at != NEVER);
        let replaces = state.newest.knows(position).then_some(0);
        let stored = self.journal.append_body(&Record::Put {
            queue: number,
            position,
            published_at,
            attempts,
            expires_at,
            status,
            replaces,
            history,
            message,
        })?;
        if let Some((entry, _)) = state.find(position) {
            entry.carried(stored);
        }
        self.journal.died(old);
        Ok(())
    }
}

fn lies_at(stored: Stored, position: Position) -> bool {
    stored.location == Location::from(position)
}
