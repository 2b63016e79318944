//! Partitions that come to this process and go from it, and what is read of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use forebay_core::limits::kafka as limits;
use forebay_core::time::Instant;
use forebay_envelope::envelope::Envelope;
use forebay_envelope::holds::Position;
use tokio::sync::Notify;

use super::commit::Fate;
use super::contiguous::{Contiguous, Offset, Tries};
use super::letter::{Letter, Source};
use super::names::Lane;
use super::shelf::{Consuming, Partition, Shelf};

/// The partition of the waiting topic in which a message waits next: the longest wait that does not end too late. `None` where
/// it has not to wait, or so shortly that whoever reads it can see to that.
pub(crate) fn wait_level(due: Instant, now: Instant) -> Option<i32> {
    let wait = due.since(now);
    let level = limits::WAIT_LEVELS.iter().rposition(|power| wait >= Duration::from_millis(1 << power))?;
    i32::try_from(level).ok()
}

/// How long messages wait in that partition.
fn level_wait(partition: i32) -> Duration {
    let power = usize::try_from(partition).ok().and_then(|level| limits::WAIT_LEVELS.get(level));
    power.map_or(Duration::ZERO, |power| Duration::from_millis(1 << power))
}

/// A record of a partition.
pub(crate) struct Record {
    pub(crate) source: Source,
    pub(crate) offset: Offset,
    /// When it was put there, in milliseconds.
    pub(crate) put_ms: u64,
    pub(crate) envelope: Envelope,
    /// Where in its queue the message was first, if it was put there again.
    pub(crate) origin: Option<Offset>,
    /// Of what goes with the payload.
    pub(crate) header_bytes: usize,
}

impl Record {
    /// What it takes of this process's memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.envelope.message.payload.len() + self.header_bytes
    }
}

/// What there is room for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Room {
    /// Messages.
    pub(crate) count: usize,
    /// Their bytes, beyond a last one.
    pub(crate) bytes: usize,
}

/// What of a partition was not read before it was settled.
pub(crate) struct Skipped {
    pub(crate) source: Source,
    pub(crate) from: Offset,
    pub(crate) end: Offset,
    pub(crate) count: u64,
}

impl Shelf {
    /// A partition is ours to hand out, from what its last commit said on.
    pub(crate) fn assign(&mut self, source: Source, base: Offset, mark: &str, head: Offset) {
        self.revoke(source);
        self.generation += 1;
        let partition = Partition {
            offsets: Contiguous::restore(base, mark),
            generation: self.generation,
            committed: base,
            trimmed: 0,
            head,
            read_to: base,
            last_ms: 0,
            bytes: 0,
            full: false,
            dirty: false,
        };
        self.partitions.insert(source, partition);
        self.tell_reader(source);
    }

    /// A partition is ours no more: what lies here of it is others', held or not.
    pub(crate) fn revoke(&mut self, source: Source) {
        if self.partitions.remove(&source).is_none() {
            return;
        }
        self.tell_reader(source);
        self.ready.retain(|_, letter| letter.source != source);
        self.later.retain(|_, letter| letter.source != source);
        self.carried.retain(|_, letter| letter.source != source);
        // Who settles or moves it may have been ended meanwhile, and does not let it go any more.
        self.holds.forget(|letter| letter.source == source);
        let (lost, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiting| waiting.letter().source == source);
        self.waiting = waiting;
        let lost: Vec<_> = lost;
        lost.into_iter().for_each(|waiting| waiting.tell(Fate::Lost));
    }

    /// The group goes on without this process, which has to join it anew: what it has is not its share any more, and that
    /// nothing lies here says nothing.
    pub(crate) fn lose(&mut self) {
        if self.consuming != Consuming::Gone {
            self.consuming = Consuming::Yes { joined: false };
        }
    }

    /// This process has left the group.
    pub(crate) fn leave(&mut self, consuming: Consuming) {
        let sources: Vec<_> = self.partitions.keys().copied().collect();
        sources.into_iter().for_each(|source| self.revoke(source));
        (self.committing, self.carrying) = (false, false);
        if self.consuming != Consuming::Gone {
            self.consuming = consuming;
        }
    }

    /// Takes in what was read. What is not of our partitions, or settled already, is left.
    pub(crate) fn arrive(&mut self, record: Record, number: Position, now: Instant) {
        let bytes = record.bytes();
        let Record { source, offset, put_ms, mut envelope, origin, .. } = record;
        self.look_for_lost_end(source, offset);
        let Some(partition) = self.partitions.get_mut(&source) else { return };
        partition.read_to = offset.saturating_add(1);
        if !partition.offsets.read(offset) {
            partition.dirty = true;
            return;
        }
        partition.last_ms = partition.last_ms.max(put_ms);
        let tries = partition.offsets.tries(offset);
        if let Some(Tries { attempts, due_ms }) = tries {
            (envelope.attempts, envelope.due) = (attempts, Instant::from_ms(due_ms));
        }
        let (place, due) = ((partition.last_ms, source.partition, offset), envelope.due);
        let tried = tries.is_some();
        let letter = Arc::new(Letter { envelope, origin, source, offset, place, number, tried, bytes });
        partition.bytes += letter.bytes;
        match source.lane {
            Lane::Wait => {
                let over = Instant::from_ms(put_ms) + level_wait(source.partition);
                self.carried.insert((over.min(due), source, place), letter);
            }
            Lane::Main if !letter.tried && wait_level(due, now).is_some() => {
                self.carried.insert((now, source, place), letter);
            }
            Lane::Main => self.put(letter, due, now),
        }
    }

    /// As long as a partition is ours its offsets only grow. One that is less has the place of another message that the servers
    /// have lost with the partition's end: what was said of that place, and of those behind it, is of no message any more.
    fn look_for_lost_end(&mut self, source: Source, offset: Offset) {
        if self.partitions.get(&source).is_none_or(|partition| offset >= partition.read_to) {
            return;
        }
        self.assign(source, offset, "", offset);
        if let Some(partition) = self.partitions.get_mut(&source) {
            // Who takes it over is to begin here, too.
            partition.dirty = true;
        }
    }

    /// Takes in what was read together of one partition, and says whether somebody waits for such; `None`, and nothing is taken
    /// in, if that is not ours.
    pub(crate) fn arrive_all(
        &mut self,
        source: Source,
        records: impl IntoIterator<Item = Record>,
        number: impl Fn() -> Position,
        now: Instant,
    ) -> Option<bool> {
        self.partitions.get(&source)?;
        let carried = self.carried.len();
        records.into_iter().for_each(|record| self.arrive(record, number(), now));
        Some(!self.turns.is_empty() || self.carried.len() > carried)
    }

    /// Nothing more of a partition is on the servers, though no message may lie right before its end. Whether that was not known.
    pub(crate) fn is_read_to_its_end(&mut self, source: Source) -> bool {
        let Some(partition) = self.partitions.get_mut(&source) else { return false };
        let is_new = partition.head > partition.offsets.next();
        partition.head = partition.head.min(partition.offsets.next());
        is_new
    }

    /// Where its reader is told of a partition, for as long as this process lives.
    pub(crate) fn reader(&mut self, source: Source) -> Arc<Notify> {
        self.readers.entry(source).or_default().clone()
    }

    fn tell_reader(&self, source: Source) {
        if let Some(reader) = self.readers.get(&source) {
            reader.notify_one();
        }
    }

    /// How much more may be read of a partition, if it is ours. Once it is full that is nothing until the half is gone.
    pub(crate) fn room(&mut self, source: Source) -> Option<Room> {
        let bytes_max = self.bytes_max();
        let partition = self.partitions.get_mut(&source)?;
        partition.full |= partition.is_over(1, bytes_max);
        if partition.full {
            return Some(Room::default());
        }
        let span = usize::try_from(limits::SPAN_MAX.saturating_sub(partition.offsets.span())).unwrap_or(0);
        let count = limits::OPEN_MAX.saturating_sub(partition.offsets.open_count()).min(span);
        Some(Room { count, bytes: bytes_max.saturating_sub(partition.bytes) })
    }

    /// What of each partition may lie here: a share of what may of the queue.
    fn bytes_max(&self) -> usize {
        let share = limits::QUEUE_BYTES_MAX / self.partitions.len().max(1);
        share.min(limits::OPEN_BYTES_MAX)
    }

    /// Has partitions read on that were full and are so no more.
    pub(crate) fn resume_with_room(&mut self) {
        let bytes_max = self.bytes_max();
        for (source, partition) in &mut self.partitions {
            if partition.full && !partition.is_over(2, bytes_max) {
                partition.full = false;
                if let Some(reader) = self.readers.get(source) {
                    reader.notify_one();
                }
            }
        }
    }

    /// Whether all that was there when the partitions came has been looked at.
    pub(crate) fn is_caught_up(&self) -> bool {
        let main = self.partitions.iter().filter(|(source, _)| source.lane == Lane::Main);
        let behind = |partition: &Partition| partition.offsets.next() < partition.head && !partition.full;
        self.consuming == Consuming::Yes { joined: true } && !main.map(|(_, p)| p).any(behind)
    }

    /// The partitions that are here, with where another process would begin to read them.
    pub(crate) fn committed_offsets(&self) -> BTreeMap<Source, Offset> {
        self.partitions.iter().map(|(source, partition)| (*source, partition.committed)).collect()
    }

    /// The partitions that are here, with their present assignments.
    pub(crate) fn generations(&self) -> BTreeMap<Source, u64> {
        self.partitions.iter().map(|(source, partition)| (*source, partition.generation)).collect()
    }

    /// Of these, what is finished and not yet removed from the servers.
    pub(crate) fn to_trim(&self) -> BTreeMap<Source, Offset> {
        let due = self.partitions.iter().filter(|(_, partition)| partition.committed > partition.trimmed);
        due.map(|(source, partition)| (*source, partition.committed)).collect()
    }

    /// What lies before these offsets was removed from the servers.
    pub(crate) fn trimmed(&mut self, removed: &BTreeMap<Source, Offset>) {
        for (source, end) in removed {
            if let Some(partition) = self.partitions.get_mut(source) {
                partition.trimmed = partition.trimmed.max(*end);
            }
        }
    }

    /// Nothing before these ends is to be handed out any more, except what is held: takes out what was read, and says how much
    /// was not. What was not read is settled; it counts once there is nothing to commit any more.
    pub(crate) fn skip_to(
        &mut self,
        ends: &BTreeMap<Source, Offset>,
    ) -> (Vec<(Arc<Letter>, u64)>, Vec<Skipped>) {
        let mut skipped = Vec::new();
        for (source, partition) in &mut self.partitions {
            let next = partition.offsets.next();
            let Some(end) = ends.get(source).copied().filter(|end| *end > next) else { continue };
            let settled = partition.offsets.settled_before(end) - partition.offsets.settled_before(next);
            let count = u64::try_from(end - next).unwrap_or(0).saturating_sub(settled);
            skipped.push(Skipped { source: *source, from: next, end, count });
            partition.offsets.skip_to(end);
            partition.dirty = true;
        }
        (self.give_up(), skipped)
    }

    /// How many commits were begun until now.
    pub(crate) fn batches(&self) -> u64 {
        self.batches
    }

    /// What waited for a commit when so many were begun is durable. What came since may wait.
    pub(crate) fn has_committed(&self, batches: u64) -> bool {
        // A commit says all there is to say of a partition, and what one has failed to say the next one says.
        self.batch_committed > batches || !self.has_uncommitted()
    }

    /// Something that was settled is not known to be committed.
    pub(crate) fn has_uncommitted(&self) -> bool {
        let dirty = self.partitions.values().any(|partition| partition.dirty);
        self.committing || !self.waiting.is_empty() || dirty
    }

    /// When the next letter is to be moved.
    pub(crate) fn next_carried(&self) -> Option<Instant> {
        self.carried.keys().next().map(|(at, ..)| *at)
    }

    /// Letters that are to be moved by now, with the assignments under which they came: as many as are moved in one step.
    pub(crate) fn take_carried(&mut self, now: Instant) -> Vec<(Arc<Letter>, u64)> {
        let mut taken = Vec::new();
        if self.purges > 0 {
            return taken;
        }
        let mut bytes = 0;
        while taken.len() < limits::CARRY_MAX
            && bytes < limits::CARRY_BYTES_MAX
            && let Some(entry) = self.carried.first_entry()
            && entry.key().0 <= now
        {
            let letter = entry.remove();
            bytes += letter.bytes;
            if let Some(partition) = self.partitions.get(&letter.source) {
                taken.push((letter.clone(), partition.generation));
                self.holds.busy_with(letter.number, Some(letter));
            }
        }
        self.carrying = !taken.is_empty();
        taken
    }

    /// What was taken to be moved is where it is to be.
    pub(crate) fn carried(&mut self) {
        self.carrying = false;
    }

    /// Whether something is on its way to another place in Kafka.
    pub(crate) fn is_carrying(&self) -> bool {
        self.carrying
    }

    /// A letter could not be moved: it is tried again then.
    pub(crate) fn carry_again(&mut self, letter: Arc<Letter>, generation: u64, at: Instant) {
        self.holds.let_go(letter.number);
        if self.is_current(letter.source, generation) {
            self.carried.insert((at, letter.source, letter.place), letter);
        }
    }

    /// Takes out all that nobody holds, with the assignments under which it came.
    fn give_up(&mut self) -> Vec<(Arc<Letter>, u64)> {
        let ready = std::mem::take(&mut self.ready).into_values();
        let later = std::mem::take(&mut self.later).into_values();
        let carried = std::mem::take(&mut self.carried).into_values();
        let letters: Vec<_> = ready.chain(later).chain(carried).collect();
        let mut given = Vec::new();
        for letter in letters {
            if let Some(partition) = self.partitions.get(&letter.source) {
                given.push((letter.clone(), partition.generation));
                self.holds.busy_with(letter.number, Some(letter));
            }
        }
        given
    }
}

impl Partition {
    /// Whether a share of a bound is reached.
    fn is_over(&self, share: usize, bytes_max: usize) -> bool {
        self.offsets.open_count() >= limits::OPEN_MAX / share
            || self.offsets.span() >= limits::SPAN_MAX / share as u64
            || self.bytes >= bytes_max / share
    }
}
