//! Writing: every shard's queues from their oldest entries on, a chunk at a time.

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::memory::SNAPSHOT_CHUNK_BYTES;
use forebay_core::time::Instant;
use parking_lot::{Mutex, MutexGuard};

use super::format::{self, Kept, MAIN, READ, STALE};
use crate::floor::Flushes;
use crate::memory::Memory;
use crate::records::queue::QueueName;
use crate::records::record::{Header, Marks};
use crate::shard::Shard;

impl Memory {
    /// Writes all entries that are there, and returns how many. Each piece goes to `write` in order, while nobody waits for a
    /// lock. `Conflict`: the store was changed meanwhile, so what was written must not be believed.
    pub fn save(&self, now: Instant, write: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<u64> {
        // A resize would move entries about.
        let _budget_stays = self.asked.lock();
        let begin = |shard: &Mutex<Shard>| {
            let mut shard = shard.lock();
            shard.tick(now);
            shard.state()
        };
        let states: Vec<_> = self.shards.iter().map(begin).collect();
        write(&format::header(states.iter().map(|state| state.version).max().unwrap_or(0)))?;
        let (mut number, mut entries, mut chunk) = (0, 0, Vec::new());
        let mut finish = |chunk: &mut Vec<u8>| {
            write(&format::chunk_header(number, chunk))?;
            write(chunk)?;
            number += 1;
            chunk.clear();
            Ok::<_, Error>(())
        };
        for (shard, state) in self.shards.iter().zip(&states) {
            for queue in [QueueName::Small, QueueName::Main] {
                let segments = unchanged(shard, state)?.heap.segments_of(queue);
                for segment in segments {
                    let mut offset = Some(0);
                    while let Some(from) = offset {
                        let shard = unchanged(shard, state)?;
                        offset = shard.copy_out(segment, from, now, &mut chunk, &mut entries);
                        drop(shard);
                        if chunk.len() >= SNAPSHOT_CHUNK_BYTES {
                            finish(&mut chunk)?;
                        }
                    }
                }
            }
        }
        if !chunk.is_empty() {
            finish(&mut chunk)?;
        }
        finish(&mut chunk)?;
        for (shard, state) in self.shards.iter().zip(&states) {
            drop(unchanged(shard, state)?);
        }
        Ok(entries)
    }
}

/// What stays the same in a shard while nothing is written or removed in it.
#[derive(PartialEq)]
struct State {
    /// Every write takes one.
    version: u64,
    /// Eviction takes no version, but moves what offsets point at.
    layout: u64,
    /// A flush takes its version only when it is carried out.
    flushes: Flushes,
}

/// The shard, if it is as it was.
fn unchanged<'a>(shard: &'a Mutex<Shard>, state: &State) -> Result<MutexGuard<'a, Shard>> {
    let shard = shard.lock();
    if shard.state() == *state {
        return Ok(shard);
    }
    Err(Error::new(Kind::Conflict, "write cache snapshot", "the cache was changed meanwhile"))
}

impl Shard {
    fn state(&self) -> State {
        State { version: self.version, layout: self.heap.layout(), flushes: self.floors.flushes() }
    }

    /// Copies entries of a segment until the chunk is long enough; the offset where to go on, if there is more.
    fn copy_out(
        &self,
        segment: u32,
        mut offset: usize,
        now: Instant,
        chunk: &mut Vec<u8>,
        entries: &mut u64,
    ) -> Option<usize> {
        while chunk.len() < SNAPSHOT_CHUNK_BYTES {
            let (position, next, header) = self.heap.next_in(segment, offset)?;
            offset = next;
            // Whoever was to load a value for a placeholder is gone after the restart.
            if !header.expired(now) && !header.marks.has(Marks::LEASED) {
                // A flush that is to come is not kept itself: what it is to take ends with it.
                let ends = header.expiry().into_iter().chain(self.floors.flushes().at).min();
                let marks = marks(&header, self.heap.queue_of(position));
                let kept = Kept {
                    version: header.version,
                    expires_ms: ends.map(Instant::as_ms),
                    accessed: header.accessed,
                    flags: header.flags,
                    marks,
                    key: self.heap.key(position),
                    value: self.heap.value(position, &header),
                };
                kept.with_uses(header.marks.uses()).write(chunk);
                *entries += 1;
            }
        }
        Some(offset)
    }
}

fn marks(header: &Header, queue: QueueName) -> u8 {
    let mark = |is: bool, mark: u8| if is { mark } else { 0 };
    mark(header.marks.has(Marks::STALE), STALE)
        | mark(header.marks.has(Marks::READ), READ)
        | mark(queue == QueueName::Main, MAIN)
}
