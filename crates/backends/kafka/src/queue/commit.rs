//! What is settled: it counts once a commit says so. Many are committed together.

use std::sync::Arc;

use forebay_core::time::Instant;
use forebay_envelope::holds::Held;
use tokio::sync::oneshot;

use super::contiguous::{Offset, Tries};
use super::letter::{Letter, Source};
use super::shelf::Shelf;

/// What became of what waited for its commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is durable.
    Committed,
    /// Its partition went to another process before.
    Lost,
    /// Kafka could not be asked, or has not answered.
    Failed,
    /// The same, and its partition went to another process meanwhile.
    Unsure,
}

/// What is to be committed of a letter.
pub(crate) enum Change {
    /// It is finished here.
    Settled,
    /// An attempt has failed; it waits in its place for the next one.
    Tried(Tries),
}

/// A letter whose change waits for its commit.
pub(crate) struct Waiting {
    letter: Arc<Letter>,
    generation: u64,
    /// As it was held, if it is to be held again should the commit fail. Else it stays as it is now: it was put elsewhere
    /// before, and goes with the next commit.
    held: Option<Held<Letter>>,
    change: Change,
    /// What was known of its attempts before.
    before: Option<Tries>,
    told: Option<oneshot::Sender<Fate>>,
}

impl Waiting {
    pub(super) fn letter(&self) -> &Letter {
        &self.letter
    }

    pub(super) fn tell(self, fate: Fate) {
        if let Some(told) = self.told {
            // Who has gone away does not hear it.
            let _ = told.send(fate);
        }
    }
}

/// What one commit says of a partition.
pub(crate) struct Said {
    pub(crate) source: Source,
    pub(crate) offset: Offset,
    pub(crate) mark: String,
    generation: u64,
}

/// What is committed together.
pub(crate) struct Batch {
    pub(crate) said: Vec<Said>,
    waiting: Vec<Waiting>,
}

impl Shelf {
    /// Changes what was gripped; it counts once it is committed, of which the receiver hears.
    pub(crate) fn begin(
        &mut self,
        letter: Arc<Letter>,
        generation: u64,
        held: Option<Held<Letter>>,
        change: Change,
    ) -> oneshot::Receiver<Fate> {
        let (told, fate) = oneshot::channel();
        if !self.is_current(letter.source, generation) {
            self.holds.let_go(letter.number);
            // Who asked has the other end.
            let _ = told.send(Fate::Lost);
            return fate;
        }
        let mut before = None;
        if let Some(partition) = self.partitions.get_mut(&letter.source) {
            before = partition.offsets.tries(letter.offset);
            match &change {
                Change::Settled => {
                    partition.offsets.settle(letter.offset);
                    partition.bytes = partition.bytes.saturating_sub(letter.bytes);
                }
                Change::Tried(tries) => partition.offsets.tried(letter.offset, *tries),
            }
            partition.dirty = true;
        }
        self.waiting.push(Waiting { letter, generation, held, change, before, told: Some(told) });
        fate
    }

    /// How many letters wait for the next commit.
    pub(crate) fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    /// All that waits for its commit.
    pub(crate) fn batch(&mut self) -> Option<Batch> {
        if self.waiting.is_empty() && !self.partitions.values().any(|partition| partition.dirty) {
            return None;
        }
        self.committing = true;
        self.batches += 1;
        let waiting = std::mem::take(&mut self.waiting);
        let dirty = self.partitions.iter_mut().filter(|(_, partition)| partition.dirty);
        let said = dirty.map(|(source, partition)| {
            partition.dirty = false;
            let (offset, mark) = (partition.offsets.base(), partition.offsets.mark());
            Said { source: *source, offset, mark, generation: partition.generation }
        });
        Some(Batch { said: said.collect(), waiting })
    }

    /// Leaves out of a batch what is of partitions that are ours no more.
    pub(crate) fn still_ours(&self, batch: &mut Batch) {
        batch.said.retain(|said| self.is_current(said.source, said.generation));
    }

    /// A batch came to `fate`, and what was left out of it to `left_out`.
    pub(crate) fn committed(&mut self, batch: Batch, fate: Fate, left_out: Fate, now: Instant) {
        self.committing = false;
        if fate == Fate::Committed {
            self.batch_committed = self.batches;
        }
        for said in &batch.said {
            let current = self.is_current(said.source, said.generation);
            if let Some(partition) = self.partitions.get_mut(&said.source).filter(|_| current) {
                match fate {
                    Fate::Committed => {
                        partition.offsets.committed(said.offset);
                        partition.committed = said.offset;
                    }
                    Fate::Lost | Fate::Failed | Fate::Unsure => partition.dirty = true,
                }
            }
        }
        for waiting in batch.waiting {
            let said = batch
                .said
                .iter()
                .any(|said| said.source == waiting.letter.source && said.generation == waiting.generation);
            self.finish(waiting, if said { fate } else { left_out }, now);
        }
    }

    fn finish(&mut self, waiting: Waiting, fate: Fate, now: Instant) {
        let letter = waiting.letter.clone();
        self.holds.let_go(letter.number);
        let current = self.is_current(letter.source, waiting.generation);
        if let Some(partition) = self.partitions.get_mut(&letter.source).filter(|_| current) {
            match (&waiting.change, fate, &waiting.held) {
                (Change::Tried(tries), Fate::Committed, _) => {
                    let (attempts, due) = (tries.attempts, Instant::from_ms(tries.due_ms));
                    let mut again = (*letter).clone();
                    (again.envelope.attempts, again.envelope.due, again.tried) = (attempts, due, true);
                    self.put(Arc::new(again), due, now);
                }
                (Change::Settled, Fate::Committed, _) | (_, _, None) => {}
                (change, Fate::Lost | Fate::Failed | Fate::Unsure, Some(held)) => {
                    if matches!(change, Change::Settled) {
                        partition.offsets.reopen(letter.offset);
                        partition.bytes += letter.bytes;
                    }
                    partition.offsets.untried(letter.offset, waiting.before);
                    self.holds.hold(letter.number, held.clone());
                }
            }
        }
        waiting.tell(fate);
    }
}
