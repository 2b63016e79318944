//! The log as the broker uses it: what may be appended when, and which segments still hold something that lives.

#[cfg(test)]
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Release};
use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::payload::Payload;
use forebay_core::ports::files::Files;
use forebay_log::format::RECORD_HEADER_BYTES;
use forebay_log::{Class, Damaged, Log, LogOptions, Position, Room};
use parking_lot::{Condvar, Mutex};

use super::claims::desk::Desk;
use super::claims::ledger::Ledger;
use super::live::Live;
use crate::records::Record;
use crate::state::entry::Location;

/// What carrying a message forward can add to it: attempts, an expiry and a hold.
const CARRY_GROWTH_BYTES_MAX: usize = 32;

/// Garbage that is worth carrying for at any price. One segment may be the unwritten rest of the last, and one what the
/// ends of all others leave unused.
const GARBAGE_SEGMENTS_MIN: u64 = 3;

/// What a record may need beside its message and all but the newest line of its history.
const MESSAGE_RESERVE_BYTES: usize = 512;

/// The log, the count of live bodies in each of its segments, and the files beside it.
pub(crate) struct Journal {
    pub(crate) log: Log,
    pub(crate) claims: Ledger,
    pub(crate) desk: Desk,
    pub(super) segment_bytes: u64,
    body_bytes_max: usize,
    /// How many segments each kind of record may leave behind.
    segments_max: SegmentsMax,
    /// Segments in use.
    pub(super) segments: AtomicU64,
    /// The last sequence appended, and the segment it went to.
    last: AtomicU64,
    newest: AtomicU64,
    pub(super) live: Mutex<Live>,
    /// What to do with a body that is damaged.
    pub(crate) damaged: Damaged,
    /// How many of the bodies that live are of finished messages, which give way to new ones.
    pub(crate) retained: AtomicU64,
    /// How long the copies of a message are that were refused last because the log was not ready for all of them: whoever
    /// waits for it to be, waits for so much.
    copies: Mutex<Vec<usize>>,
    /// A segment that cannot be carried because of damage; 0 for none.
    pub(crate) stuck: AtomicU64,
    /// Rung when there may be segments to free.
    bell: Condvar,
    closed: AtomicBool,
}

/// Where a record with a body lies, and what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) location: Location,
    pub(crate) bytes: u32,
}

/// Segments in use beyond which records are refused. What empties queues finds room when nothing else does: were a
/// publish to take the last of it, or a million deliveries that nobody settles, nothing could ever be freed.
#[derive(Clone, Copy, Debug)]
struct SegmentsMax {
    /// For finished messages.
    retain: u64,
    /// For what brings something new.
    publish: u64,
    /// For the steps on a message's way, while carrying makes room for them.
    steps: u64,
    /// For dead letters, which are as large as messages, likewise; what is left is for settling and carrying.
    moves: u64,
}

/// What can be done about the space of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chance {
    /// Nothing.
    None,
    /// Nothing lives in the segments before this one.
    Release { before: u64 },
    /// Carrying forward what lives in this one, the oldest, is worth its price.
    Carry { segment: u64 },
    /// Finished messages have too much of the log.
    GiveWay,
}

impl Journal {
    /// Longer payloads than `claim_above_bytes` are claimed.
    pub(crate) fn new(
        log: Log,
        options: &LogOptions,
        files: Arc<dyn Files>,
        claim_above_bytes: usize,
    ) -> Self {
        let segments_max = options.disk_bytes_max / u64::from(options.segment_bytes).max(1);
        let reserve = (segments_max / limits::log::RESERVE_SHARE).max(limits::log::RESERVE_SEGMENTS_MIN);
        let publish = segments_max.saturating_sub(reserve).max(1);
        // The bell has been rung to begin with: the life before may have left something to do.
        let live = Live { oldest_since: log.segments().into_inner(), rung: true, ..Live::default() };
        Self {
            segment_bytes: options.segment_bytes.into(),
            body_bytes_max: options.body_bytes_max(),
            segments_max: SegmentsMax {
                retain: publish - (publish / limits::RETAINED_LEAVES_SHARE).max(1),
                publish,
                steps: segments_max.saturating_sub(reserve / 2).max(1),
                moves: segments_max.saturating_sub(reserve / 4).max(1),
            },
            segments: AtomicU64::new(log.stats().segments),
            last: AtomicU64::new(log.durable_sequence()),
            newest: AtomicU64::new(*log.segments().end()),
            claims: Ledger::new(files, log.clone(), claim_above_bytes),
            desk: Desk::default(),
            log,
            live: Mutex::new(live),
            damaged: options.damaged,
            retained: AtomicU64::new(0),
            copies: Mutex::default(),
            stuck: AtomicU64::new(0),
            bell: Condvar::new(),
            closed: AtomicBool::new(false),
        }
    }

    /// Room for new records with bodies of these lengths, all or none of which are appended. `TooLarge`: publishes
    /// never get that much.
    pub(crate) fn room(&self, lengths: impl Iterator<Item = usize>) -> Result<Room> {
        let room = self.log.room(Class::New, lengths)?;
        self.check_ever(room.segments() as u64)?;
        Ok(room)
    }

    /// What is left of a log from which nothing more can be freed must still take so many segments.
    pub(super) fn check_ever(&self, segments: u64) -> Result<()> {
        if segments + limits::log::CARRY_SEGMENTS_MIN > self.segments_max.publish + 2 {
            let context = format!("{segments} segments at once");
            return Err(Error::new(Kind::TooLarge, "publish to log", context));
        }
        Ok(())
    }

    /// Waits until the log is ready for a record of that class and length, and for the copies that were refused last; true
    /// if it is, false if only freeing space helps.
    pub(crate) async fn ready(&self, class: Class, length: usize) -> bool {
        let copies = std::mem::take(&mut *self.copies.lock());
        let room = match copies.is_empty() {
            true => self.log.room(class, std::iter::once(length)),
            false => self.log.room(Class::Free, copies.into_iter()),
        };
        match room {
            Ok(room) => room.await.is_ok(),
            Err(_) => false,
        }
    }

    /// `Full` while publishes must leave the rest of the disk to what empties queues. That counts what the messages
    /// grow by when they are carried forward from consumers' hands.
    pub(super) fn check_space(&self, live: &mut Live, segments: u64) -> Result<()> {
        let max = self.segments_max.publish;
        let bytes = live.grown() + self.claims.bytes();
        if self.used() + segments > max + 1 || bytes > max * self.segment_bytes {
            if segments > live.wanted.max(1) {
                live.wanted = segments;
                self.ring(live);
            }
            return Err(Error::new(Kind::Full, "publish to log", "its disk space is used up"));
        }
        Ok(())
    }

    /// Encoded messages larger than this are not taken: each must fit a record also as a dead letter, with the newest
    /// line of its history, and when it is carried forward.
    pub(crate) fn message_bytes_max(&self) -> usize {
        self.body_bytes_max.saturating_sub(MESSAGE_RESERVE_BYTES)
    }

    /// True if the record fits the log, now and when what it brings is carried forward.
    pub(crate) fn fits(&self, record: &Record<'_>) -> bool {
        let message = record.message();
        let bytes = record.head().len() + message.head.len() + message.payload.len();
        bytes + CARRY_GROWTH_BYTES_MAX <= self.body_bytes_max
    }

    /// Appends a record without a body.
    pub(crate) fn append(&self, record: &Record<'_>) -> Result<Position> {
        if class(record) == Class::Step && self.used() > self.segments_max.steps {
            self.check_hope(&self.live.lock())?;
        }
        let written = self.write(class(record), record).inspect_err(|error| {
            self.refused(&mut self.live.lock(), class(record), error);
        })?;
        if written.rolled {
            self.rolled(&mut self.live.lock());
        }
        Ok(written.position)
    }

    /// Appends a record with a body, and counts it as alive in the same step: between the two its segment might seem
    /// to be without life, and be released.
    pub(crate) fn append_body(&self, record: &Record<'_>) -> Result<Stored> {
        self.append_body_as(class(record), record)
    }

    /// As [`append_body`](Self::append_body), for a record that is more urgent than others of its kind.
    pub(crate) fn append_body_as(&self, class: Class, record: &Record<'_>) -> Result<Stored> {
        let mut live = self.live.lock();
        if class == Class::New {
            self.check_space(&mut live, 1)?;
        }
        if matches!(record, Record::Move { .. }) && self.used() > self.segments_max.moves {
            self.check_hope(&live)?;
        }
        let written = self.write(class, record).inspect_err(|error| self.refused(&mut live, class, error))?;
        let stored = Stored { location: written.position.into(), bytes: written.bytes };
        live.add(stored);
        if written.rolled {
            self.rolled(&mut live);
        }
        Ok(stored)
    }

    /// Appends all these records of new messages, or none; `None` if the log is not ready for them, and `room` must be
    /// waited for.
    pub(crate) fn append_bodies(&self, room: &Room, records: &[Record<'_>]) -> Result<Option<Vec<Stored>>> {
        let Some(first) = records.first() else { return Ok(Some(Vec::new())) };
        let heads: Vec<_> = records.iter().map(Record::head).collect();
        let parts = records.iter().zip(&heads).map(|(record, head)| {
            let message = record.message();
            [&head[..], message.head, message.payload]
        });
        let parts: Vec<_> = parts.collect();
        let mut live = self.live.lock();
        self.check_space(&mut live, room.segments() as u64)?;
        let appended = self.log.append_all(room, first.kind(), &parts);
        let appended = appended.inspect_err(|error| self.refused(&mut live, Class::New, error));
        Ok(appended?.map(|positions| self.all_live(&mut live, positions, &parts)))
    }

    /// Appends these moves of one message, or none of them. `TooLarge`: there is no space for all of them together, or not
    /// without more segments than are made ready when nobody waits. `Full`: there soon will be.
    pub(crate) fn append_moves(&self, records: &[Record<'_>]) -> Result<Vec<Stored>> {
        if let [only] = records {
            return self.append_body(only).map(|stored| vec![stored]);
        }
        let heads: Vec<_> = records.iter().map(Record::head).collect();
        let parts = records.iter().zip(&heads).map(|(record, head)| {
            let message = record.message();
            [&head[..], message.head, message.payload]
        });
        let parts: Vec<_> = parts.collect();
        let lengths: Vec<usize> =
            parts.iter().map(|parts| parts.iter().map(|part| part.len()).sum()).collect();
        let room = self.log.room(Class::Free, lengths.iter().copied())?;
        let too_large = || Error::new(Kind::TooLarge, "append to log", format!("{} copies", records.len()));
        // The timers wait for nobody, so that nobody would ever make ready what they need.
        if room.segments() > limits::log::SEGMENTS_AHEAD {
            return Err(too_large());
        }
        let mut live = self.live.lock();
        if self.used() > self.segments_max.moves {
            self.check_hope(&live)?;
        }
        let Some(first) = records.first() else { return Ok(Vec::new()) };
        match self.log.append_all(&room, first.kind(), &parts) {
            Ok(Some(positions)) => Ok(self.all_live(&mut live, positions, &parts)),
            Ok(None) => {
                *self.copies.lock() = lengths;
                Err(Error::new(Kind::Full, "append to log", "it is not ready for so much at once"))
            }
            // One may find a place where all do not.
            Err(error) if error.kind() == Kind::Full => Err(too_large().because(error)),
            Err(error) => Err(error),
        }
    }

    /// Counts the bodies of records that were appended together as alive.
    fn all_live(&self, live: &mut Live, positions: Vec<Position>, parts: &[[&[u8]; 3]]) -> Vec<Stored> {
        let mut rolled = false;
        let mut all = Vec::with_capacity(positions.len());
        for (position, parts) in positions.into_iter().zip(parts) {
            let bytes = bytes_in_log(parts.iter().map(|part| part.len()).sum());
            let stored = Stored { location: position.into(), bytes };
            live.add(stored);
            rolled |= self.wrote(position);
            all.push(stored);
        }
        if rolled {
            self.rolled(live);
        }
        all
    }

    /// The disk may end before its budget does. Then a refusal is the first that is known of it, and carrying may be worth
    /// more than it was; once is enough, as what is garbage changes only with what rings by itself. What frees space
    /// rings for nobody: it is the carrying itself, and tries again.
    fn refused(&self, live: &mut Live, class: Class, error: &Error) {
        if class != Class::Free && error.kind() == Kind::Full && !std::mem::replace(&mut live.refused, true) {
            self.ring(live);
        }
    }

    /// `Full` while carrying is worth its price, and so makes room. When it is not, what lives fills the disk, and only
    /// going on can free something.
    fn check_hope(&self, live: &Live) -> Result<()> {
        if self.garbage(live, self.segments.load(Acquire)) >= GARBAGE_SEGMENTS_MIN * self.segment_bytes {
            return Err(Error::new(Kind::Full, "append to log", "its last space is for what frees some"));
        }
        Ok(())
    }

    /// Bytes of so many segments in which nothing lives.
    fn garbage(&self, live: &Live, segments: u64) -> u64 {
        (segments * self.segment_bytes).saturating_sub(live.all.bytes)
    }

    fn write(&self, class: Class, record: &Record<'_>) -> Result<Written> {
        let (head, message) = (record.head(), record.message());
        let parts = [&head[..], message.head, message.payload];
        let position = self.log.append(class, record.kind(), &parts)?;
        let rolled = self.wrote(position);
        Ok(Written { position, bytes: bytes_in_log(parts.iter().map(|part| part.len()).sum()), rolled })
    }

    /// Notes what was appended last; true if it is the first record in its segment.
    fn wrote(&self, position: Position) -> bool {
        self.last.fetch_max(position.sequence, AcqRel);
        self.newest.fetch_max(position.segment, AcqRel) < position.segment
    }

    /// There is one more segment.
    fn rolled(&self, live: &mut Live) {
        self.count_segments(live);
        self.ring(live);
    }

    /// Under the lock, so that who counts last has looked last.
    fn count_segments(&self, _: &mut Live) {
        self.segments.store(self.log.stats().segments, Release);
    }

    /// Gives back the segments before this one, in which nothing lives; false if none could be.
    pub(crate) fn release(&self, before: u64) -> Result<bool> {
        self.log.release_before(before)?;
        self.count_segments(&mut self.live.lock());
        Ok(*self.log.segments().start() >= before)
    }

    /// A body that recovery has found.
    pub(crate) fn found(&self, stored: Stored) {
        self.live.lock().add(stored);
    }

    /// A body is needed no more.
    pub(crate) fn died(&self, stored: Stored) {
        let mut live = self.live.lock();
        let emptied_oldest = live.remove(stored);
        live.died += u64::from(stored.bytes);
        if emptied_oldest || live.died >= self.segment_bytes {
            self.ring(&mut live);
        }
    }

    /// The body of a record.
    pub(crate) fn read(&self, location: Location) -> Result<Payload> {
        self.log.read(location.into()).map(Payload::from)
    }

    /// The bodies of several records.
    pub(crate) fn read_many(&self, locations: &[Location]) -> Vec<Result<Payload>> {
        let positions: Vec<_> = locations.iter().map(|location| Position::from(*location)).collect();
        self.log.read_many(&positions).into_iter().map(|read| read.map(Payload::from)).collect()
    }

    /// The last sequence that was appended.
    pub(crate) fn last(&self) -> u64 {
        self.last.load(Acquire)
    }

    /// What there is to be done, and the sequence that must be durable before anything is released on the strength of
    /// it: all that has ended a life so far.
    pub(crate) fn chance(&self) -> (Chance, u64) {
        let stats = self.log.stats();
        let (oldest, newest) = self.log.segments().into_inner();
        let mut live = self.live.lock();
        live.refused &= stats.full;
        let last = self.last();
        let first_live = live.segments.keys().next().copied().unwrap_or(newest).min(newest);
        if first_live > oldest {
            return (Chance::Release { before: first_live }, last);
        }
        if live.oldest_since.0 != oldest {
            live.oldest_since = (oldest, newest);
        }
        let garbage = self.garbage(&live, stats.segments);
        let has_retained = self.retained.load(Acquire) > 0;
        let is_full = stats.full | std::mem::take(&mut live.disk_ended);
        let gives_way = has_retained && (is_full || self.retains_too_much(&live));
        let least = GARBAGE_SEGMENTS_MIN * self.segment_bytes;
        live.carrying = if gives_way {
            // What is worth its price goes before history does.
            garbage >= least.max(live.all.bytes)
        } else if is_full || self.used() + live.wanted.max(1) >= self.segments_max.publish {
            // Publishers are held up, or about to be: every segment counts, and the price does not.
            garbage >= least
        } else {
            // Each byte carried frees at least one, so that carrying never costs more than publishing has. It begins
            // only when the oldest segment stands still while the log goes on: one that is being emptied by its
            // consumers needs no help.
            let stands_still = newest.saturating_sub(live.oldest_since.1) >= limits::log::CARRY_SEGMENTS_MIN;
            garbage > live.all.bytes && (live.carrying || stands_still)
        };
        if !live.carrying && !gives_way {
            live.wanted = 0;
        }
        let is_stuck = self.stuck.load(Acquire) == oldest;
        let chance = if live.carrying && !is_stuck && stats.segments >= limits::log::CARRY_SEGMENTS_MIN {
            Chance::Carry { segment: oldest }
        } else if gives_way {
            Chance::GiveWay
        } else {
            Chance::None
        };
        (chance, last)
    }

    /// True from some way before publishes would be refused.
    fn retains_too_much(&self, live: &Live) -> bool {
        let SegmentsMax { retain: max, publish, .. } = self.segments_max;
        let bytes = live.grown() + self.claims.bytes();
        self.used() >= max || bytes > max * self.segment_bytes || self.used() + live.wanted > publish + 1
    }

    pub(super) fn ring(&self, live: &mut Live) {
        live.died = 0;
        live.rung = true;
        self.bell.notify_one();
    }

    /// Bodies and bytes that live, by segment.
    #[cfg(test)]
    pub(crate) fn tallies(&self) -> BTreeMap<u64, (u64, u64)> {
        let live = self.live.lock();
        let sum =
            live.segments.values().fold((0, 0), |sum, tally| (sum.0 + tally.bodies, sum.1 + tally.bytes));
        assert_eq!(sum, (live.all.bodies, live.all.bytes));
        live.segments.iter().map(|(segment, tally)| (*segment, (tally.bodies, tally.bytes))).collect()
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Release);
        self.live.lock().rung = true;
        self.bell.notify_all();
        self.desk.close();
        self.log.close();
    }

    /// Blocks until the bell was rung, or for no longer than `wait`; false once the journal is closed.
    pub(crate) fn wait_for_bell(&self, wait: Option<Duration>) -> bool {
        let mut live = self.live.lock();
        while !live.rung {
            match wait {
                // Rung while it waited, it has not timed out: what the ringer has noted stays.
                Some(wait) => {
                    let timed_out = self.bell.wait_for(&mut live, wait).timed_out();
                    live.rung |= timed_out;
                }
                None => self.bell.wait(&mut live),
            }
        }
        live.rung = false;
        !self.closed.load(Acquire)
    }
}

/// Only what brings something new, and the steps that free nothing yet, leave the last space alone.
fn class(record: &Record<'_>) -> Class {
    match record {
        Record::Settle { .. }
        | Record::Retain { .. }
        | Record::Purge { .. }
        | Record::Delete { .. }
        | Record::Move { .. }
        | Record::Marks { .. }
        | Record::End { .. }
        | Record::Reopen { .. }
        | Record::Route { .. }
        | Record::Put { position: 1.., .. }
        | Record::Declare { number: 1.., .. } => Class::Free,
        Record::Deliver { .. } | Record::Extend { .. } | Record::Retry { .. } | Record::Return { .. } => {
            Class::Step
        }
        Record::Declare { .. } | Record::Put { .. } => Class::New,
    }
}

struct Written {
    position: Position,
    bytes: u32,
    rolled: bool,
}

/// A record's header, its body, and the gap up to the next multiple of eight.
pub(crate) fn bytes_in_log(body: usize) -> u32 {
    let bytes = (body + RECORD_HEADER_BYTES as usize).next_multiple_of(8);
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use forebay_core::message::{Message, MessageId};

    use crate::bench::{Bench, SEGMENT};

    use super::*;

    #[test]
    fn a_bell_that_rings_during_a_bounded_wait_is_heard() {
        let bench = Bench::new(1_000);
        let engine = bench.broker.engine.clone();
        assert!(engine.journal.wait_for_bell(None), "it has been rung to begin with");
        let (tell, told) = mpsc::channel();
        let waiter = engine.clone();
        thread::spawn(move || tell.send(waiter.journal.wait_for_bell(Some(Duration::from_secs(3600)))));
        while !engine.journal.bell.notify_one() {
            thread::yield_now();
        }
        engine.journal.ring(&mut engine.journal.live.lock());
        assert_eq!(told.recv_timeout(Duration::from_secs(10)), Ok(true));
    }

    #[test]
    fn a_disk_that_ends_before_its_budget_is_tidied_up_for_whoever_is_refused() {
        let bench = Bench::new(1_000);
        let (stay, go) = (bench.queue("stay"), bench.queue("go"));
        let heard = || std::mem::take(&mut bench.engine().journal.live.lock().rung);
        let free = || {
            bench.write();
            if heard() {
                bench.free();
            }
        };
        bench.write();
        bench.files.limit_bytes(Some(32 * u64::from(SEGMENT)));
        for number in 0..150 {
            bench.publish(if number % 3 == 0 { &go } else { &stay }, 300);
            free();
        }
        bench.until_ready(bench.engine().purge(&go)).unwrap();
        while bench.try_publish(&stay, 300).is_ok() {
            free();
        }
        assert!(bench.segments() > 8 && heard(), "garbage is worth carrying for only now");
        bench.free();
        assert_eq!(bench.try_publish(&stay, 300), Ok(()));
        while bench.try_publish(&stay, 300).is_ok() {
            bench.free();
        }
        heard();
        assert_eq!(bench.try_publish(&stay, 300), Err(Kind::Full));
        assert!(!heard(), "nothing can be done, and nobody is woken for every refusal");
    }

    #[test]
    fn a_log_is_tidied_up_for_a_batch_of_many_segments_before_single_messages_are_refused() {
        let bench = Bench::new(100);
        let (stay, go) = (bench.queue("stay"), bench.queue("go"));
        let free = || {
            if std::mem::take(&mut bench.engine().journal.live.lock().rung) {
                bench.free();
            }
        };
        for number in 0..600 {
            bench.publish(if number % 3 == 0 { &go } else { &stay }, 300);
        }
        bench.until_ready(bench.engine().purge(&go)).unwrap();
        while bench.segments() + 3 < bench.engine().journal.segments_max.publish {
            bench.publish(&stay, 300);
            free();
        }
        let message = Message::new(MessageId::given("m").unwrap(), vec![7; 3_000].into());
        let batch = || bench.publish_all(&stay, vec![message.clone(); 8]);
        assert_eq!(batch(), Err(Kind::Full));
        free();
        assert_eq!(batch(), Ok(()));
    }
}
