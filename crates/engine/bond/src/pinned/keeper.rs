//! The work behind the results: takes what has changed in batches, writes and syncs it, and empties the oldest files of the
//! log by writing again what still lies in them.
//!
//! It is the only one who appends, so the records of a key are in the order of its states. While one batch is synced the
//! next one gathers, and a key that changes many times meanwhile is written once.

use std::sync::Arc;
use std::task::Poll;

use forebay_core::error::{Error, Kind};
use forebay_core::limits::memory::{PINNED_BATCH_BYTES_MAX, PINNED_BATCH_RECORDS_MAX, PINNED_SEGMENTS_SLACK};
use forebay_log::{Class, Room};

use super::entry::{Key, live_bytes};
use super::progress::poll_now;
use super::record::{HEAD_BYTES, Head, KIND, encode};
use super::results::Shared;
use super::table::Table;

/// What is under way.
#[derive(Default)]
pub(super) struct Keeper {
    /// Changes that were taken and found no room yet.
    changes: Option<Batch>,
    flight: Option<Flight>,
}

/// Records that are appended together.
struct Batch {
    class: Class,
    records: Vec<Item>,
}

struct Item {
    key: Key,
    head: [u8; HEAD_BYTES],
    value: Arc<[u8]>,
    /// The turn whose change this is; `None`: it is only written again.
    place: Option<u64>,
}

/// Records that were appended and are not durable yet.
struct Flight {
    batch: Batch,
    positions: Vec<forebay_log::Position>,
    last: u64,
}

/// What came of a step.
pub(super) enum Step {
    /// Something was done.
    Worked,
    /// The log's record of this sequence has to be durable first.
    Waits(u64),
    /// The log has to make room first.
    NotReady(Room),
    /// The disk has no room.
    Full,
    /// There is nothing to do.
    Idle,
    /// Nothing will ever be done again.
    Ended,
}

impl Batch {
    fn new(class: Class) -> Self {
        Self { class, records: Vec::new() }
    }

    /// Whether one more record belongs to a batch of at most so many bytes. One alone always does.
    fn takes(&self, bytes: usize, bytes_max: usize) -> bool {
        self.records.is_empty() || (bytes <= bytes_max && self.records.len() < PINNED_BATCH_RECORDS_MAX)
    }

    fn lengths(&self) -> impl Iterator<Item = usize> {
        self.records.iter().map(|item| HEAD_BYTES + item.key.len() + item.value.len())
    }
}

/// How the key is now, as it is written.
fn item(table: &Table, key: &Key) -> Item {
    let entry = table.entries.get(key);
    let head = entry.map_or(Head { version: table.version(), kept: None }, |entry| entry.head());
    let value =
        entry.filter(|_| head.kept.is_some()).map_or_else(|| Arc::from([]), |entry| entry.value.clone());
    Item { head: encode(&head, key), key: key.clone(), value, place: None }
}

/// The next changes, or none.
fn changes(table: &mut Table, bytes_max: usize) -> Option<Batch> {
    let (mut batch, mut bytes) = (Batch::new(Class::New), 0);
    while let Some(key) = table.unkept.next() {
        let mut item = item(table, key);
        bytes += HEAD_BYTES + item.key.len() + item.value.len();
        if !batch.takes(bytes, bytes_max) {
            break;
        }
        item.place = Some(table.unkept.take());
        batch.records.push(item);
    }
    (!batch.records.is_empty()).then_some(batch)
}

/// Some of what lies in the segments up to this one, or none.
fn copies(table: &Table, segment: u64, bytes_max: usize) -> Option<Batch> {
    let (mut batch, mut bytes) = (Batch::new(Class::Free), 0);
    for key in table.lying_up_to(segment) {
        let item = item(table, key);
        bytes += HEAD_BYTES + item.key.len() + item.value.len();
        if !batch.takes(bytes, bytes_max) {
            break;
        }
        batch.records.push(item);
    }
    (!batch.records.is_empty()).then_some(batch)
}

impl Shared {
    /// Does one piece of the work.
    pub(super) fn keep_step(&self) -> Step {
        if self.progress.has_ended() {
            return Step::Ended;
        }
        let mut keeper = self.keeper.lock();
        if let Some(flight) = keeper.flight.take() {
            return match poll_now(self.log.durable(flight.last)) {
                Poll::Ready(Ok(())) => self.settle(flight),
                Poll::Ready(Err(error)) => self.end(&error),
                Poll::Pending => {
                    let last = flight.last;
                    keeper.flight = Some(flight);
                    Step::Waits(last)
                }
            };
        }
        self.release();
        if let Some(copies) = self.due(PINNED_SEGMENTS_SLACK, 2) {
            match self.append(&mut keeper, copies) {
                Step::Full => {}
                step => return step,
            }
        }
        let Some(batch) =
            keeper.changes.take().or_else(|| changes(&mut self.table.lock(), self.batch_bytes_max()))
        else {
            return Step::Idle;
        };
        match self.append(&mut keeper, batch) {
            // Old files may hold what gives room for new ones.
            Step::Full => match self.due(2, 2) {
                Some(copies) => match self.append(&mut keeper, copies) {
                    Step::Full => self.full(),
                    step => step,
                },
                None => self.full(),
            },
            step => step,
        }
    }

    fn append(&self, keeper: &mut Keeper, batch: Batch) -> Step {
        let appended = self.log.room(batch.class, batch.lengths()).and_then(|room| {
            let records: Vec<[&[u8]; 3]> =
                batch.records.iter().map(|item| [&item.head[..], &item.key, &item.value]).collect();
            Ok((self.log.append_all(&room, KIND, &records)?, room))
        });
        match appended {
            Ok((Some(positions), _)) => {
                let last = positions.last().map_or(0, |position| position.sequence);
                keeper.flight = Some(Flight { batch, positions, last });
                self.table.lock().refuses = false;
                Step::Waits(last)
            }
            Ok((None, room)) => {
                keeper.hold(batch);
                Step::NotReady(room)
            }
            Err(error) if error.kind() == Kind::Full => {
                keeper.hold(batch);
                Step::Full
            }
            Err(error) => self.end(&error),
        }
    }

    /// The batch is durable: whoever waits for it is told, and its records are where their keys lie from now on.
    fn settle(&self, flight: Flight) -> Step {
        let mut last = None;
        let mut table = self.table.lock();
        for (item, position) in flight.batch.records.iter().zip(flight.positions) {
            table.lies(&item.key, position);
            if let Some(place) = item.place {
                table.keep(&item.key, place);
                last = Some(place);
            }
        }
        drop(table);
        if let Some(last) = last {
            self.progress.keep(last);
        }
        Step::Worked
    }

    /// A batch needs no more files than the log keeps ready.
    fn batch_bytes_max(&self) -> usize {
        PINNED_BATCH_BYTES_MAX.min(self.segment_bytes as usize / 2)
    }

    /// The batch that empties the oldest segment further, if the log is longer than so many times what lives in it and so
    /// many segments; `None` also where nothing lives in the oldest one.
    fn due(&self, segments: u64, times: u64) -> Option<Batch> {
        let (oldest, newest) = self.log.segments().into_inner();
        let table = self.table.lock();
        let live = live_bytes(table.entries.len(), table.bytes()) as u64;
        let length = (newest - oldest + 1).saturating_mul(self.segment_bytes);
        let long = length > times * live + segments * self.segment_bytes;
        (long && oldest < newest).then(|| copies(&table, oldest, self.batch_bytes_max())).flatten()
    }

    /// Lets go of the segments in which nothing lies. A removal is durable before the record of what it removed goes, or goes
    /// with it: segments go in their order.
    fn release(&self) {
        let (oldest, newest) = self.log.segments().into_inner();
        let needed = self.table.lock().oldest_segment().unwrap_or(newest).min(newest);
        if needed > oldest
            && let Err(error) = self.log.release_before(needed)
        {
            // Only a log that has ended refuses this, and says so at the next append.
            tracing::debug!(%error, "segments of pinned results stay");
        }
    }

    /// Writes are refused, and who waits is told that there is no room; all is tried again.
    fn full(&self) -> Step {
        let mut table = self.table.lock();
        table.refuses = true;
        let last = table.unkept.last();
        drop(table);
        self.progress.full(last);
        Step::Full
    }

    fn end(&self, error: &Error) -> Step {
        self.table.lock().refuses = true;
        tracing::error!(%error, "pinned results can no longer be kept");
        self.progress.end(error.kind(), error.context());
        Step::Ended
    }
}

impl Keeper {
    /// Changes wait for their room; what is only written again is taken anew.
    fn hold(&mut self, batch: Batch) {
        if batch.class == Class::New {
            self.changes = Some(batch);
        }
    }
}
