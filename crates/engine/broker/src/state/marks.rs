//! Which dedup ids a queue has taken lately.
//!
//! A mark is durable with the record that brought its message, for as long as the segment of that record is there.
//! Before the segment goes, its marks are written together into a record of their own, which lives in the log until the
//! last of them is forgotten. They are forgotten in the order in which they were made.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use forebay_core::limits;
use forebay_core::time::Instant;

use crate::records::Record;
use crate::storage::journal::Stored;

/// The marks of one queue.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    by_id: HashMap<Arc<str>, Taken>,
    /// As they were made. The first `kept` of them lie in `records`, those behind in their messages' records.
    order: VecDeque<Mark>,
    kept: usize,
    records: VecDeque<Kept>,
    /// What the ids in `order` take.
    ids_bytes: usize,
}

/// When a message with the id was taken, and with which sequence that is durable.
#[derive(Clone, Copy, Debug)]
struct Taken {
    at: Instant,
    sequence: u64,
}

#[derive(Debug)]
struct Mark {
    id: Arc<str>,
    /// Another than that of its id if the id was taken anew since.
    sequence: u64,
    /// Where its message's record lies; of no meaning for one that is kept.
    segment: u32,
}

/// A record with marks, and how many of the marks are its.
#[derive(Debug)]
struct Kept {
    stored: Stored,
    count: usize,
}

/// What a mark takes in a record beside its id.
const MARK_BYTES: usize = 9;

/// Marks are written in records of no more than this.
const RECORD_BYTES_MAX: usize = 64 * 1024;

impl Marks {
    /// The sequence with which the message is durable that was taken with this id within the window.
    pub(crate) fn find(&self, id: &str, now: Instant, window: Duration) -> Option<u64> {
        self.by_id.get(id).filter(|taken| now.since(taken.at) < window).map(|taken| taken.sequence)
    }

    /// What they take.
    pub(crate) fn bytes(&self) -> usize {
        // One place in eight of a hash map stays free, and each has a byte beside it.
        self.by_id.capacity() * 8 / 7 * (size_of::<(Arc<str>, Taken)>() + 1)
            + self.order.capacity() * size_of::<Mark>()
            + self.records.capacity() * size_of::<Kept>()
            + self.ids_bytes
    }

    /// A message with this id was taken; its record is this one.
    pub(crate) fn add(&mut self, id: &str, at: Instant, stored: Stored) {
        let known = self.by_id.get_key_value(id).map(|(id, _)| id.clone());
        let (id, sequence) = (known.unwrap_or_else(|| id.into()), stored.location.sequence);
        self.ids_bytes += shared_bytes(&id);
        self.by_id.insert(id.clone(), Taken { at, sequence });
        self.order.push_back(Mark { id, sequence, segment: stored.location.segment });
    }

    /// Forgets some marks that are older than the window, and, as many as are needed, those beyond the limit; `died` is
    /// given the records that are needed no more. Returns how many were forgotten before their time.
    pub(crate) fn forget(&mut self, now: Instant, window: Duration, died: impl FnMut(Stored)) -> u64 {
        self.forget_beyond(limits::DEDUP_IDS_MAX, now, window, died)
    }

    fn forget_beyond(
        &mut self,
        count_max: usize,
        now: Instant,
        window: Duration,
        mut died: impl FnMut(Stored),
    ) -> u64 {
        let (mut early, mut looked_at) = (0, 0);
        while let Some(first) = self.order.front() {
            let is_current = |taken: &&Taken| taken.sequence == first.sequence;
            let taken = self.by_id.get(&first.id).filter(is_current);
            let is_live = taken.is_some_and(|taken| now.since(taken.at) < window);
            looked_at += 1;
            if self.order.len() <= count_max && (is_live || looked_at > limits::SLICE_MESSAGES_MAX) {
                break;
            }
            early += u64::from(is_live);
            if taken.is_some() {
                self.by_id.remove(&first.id);
            }
            self.ids_bytes -= shared_bytes(&first.id);
            self.order.pop_front();
            self.forgot_first().into_iter().for_each(&mut died);
        }
        // What a burst has taken is given back once it is over.
        if self.order.capacity() > limits::SLICE_MESSAGES_MAX && self.order.len() < self.order.capacity() / 8
        {
            self.order.shrink_to(self.order.len() * 2);
            self.by_id.shrink_to(self.order.len() * 2);
        }
        early
    }

    /// The record that the first mark was in, if it was the last there.
    fn forgot_first(&mut self) -> Option<Stored> {
        let first = self.records.front_mut()?;
        self.kept = self.kept.saturating_sub(1);
        first.count = first.count.saturating_sub(1);
        if first.count > 0 { None } else { self.records.pop_front().map(|kept| kept.stored) }
    }

    /// The first segment without which a mark would be lost.
    pub(crate) fn needs(&self) -> Option<u64> {
        self.order.get(self.kept).map(|mark| mark.segment.into())
    }

    /// A record with the next marks that would be lost without this segment, and how many these are.
    pub(crate) fn next_record(
        &self,
        queue: u64,
        segment: u64,
        bytes_max: usize,
    ) -> Option<(Record<'_>, usize)> {
        let mut bytes = 0;
        let within = |mark: &&Mark| {
            bytes += MARK_BYTES + mark.id.len();
            u64::from(mark.segment) <= segment && bytes <= bytes_max.min(RECORD_BYTES_MAX)
        };
        let count = self.order.range(self.kept..).take_while(within).count();
        (count > 0).then(|| (self.record(queue, self.kept, count), count))
    }

    fn record(&self, queue: u64, first: usize, count: usize) -> Record<'_> {
        let marks = self.order.iter().skip(first).take(count).filter_map(|mark| {
            let taken = self.by_id.get(&mark.id).filter(|taken| taken.sequence == mark.sequence)?;
            Some((taken.at, &*mark.id))
        });
        Record::Marks { queue, marks: marks.collect() }
    }

    /// The next so many marks lie in this record from now on.
    pub(crate) fn keep(&mut self, count: usize, stored: Stored) {
        self.kept += count;
        self.records.push_back(Kept { stored, count });
    }

    /// The same marks as in the record there, to be written again.
    pub(crate) fn record_again(
        &self,
        queue: u64,
        lies_there: impl Fn(Stored) -> bool,
    ) -> Option<(Record<'_>, Stored)> {
        let mut first = 0;
        for kept in &self.records {
            if lies_there(kept.stored) {
                return Some((self.record(queue, first, kept.count), kept.stored));
            }
            first += kept.count;
        }
        None
    }

    /// What lay in one record lies in another from now on.
    pub(crate) fn carried(&mut self, from: Stored, to: Stored) {
        self.records.iter_mut().filter(|kept| kept.stored == from).for_each(|kept| kept.stored = to);
    }

    /// The records that must stay.
    pub(crate) fn records(&self) -> impl Iterator<Item = Stored> {
        self.records.iter().map(|kept| kept.stored)
    }
}

/// What a shared text takes: itself and its two counts.
pub(super) fn shared_bytes(text: &str) -> usize {
    (text.len() + 2 * size_of::<usize>()).next_multiple_of(align_of::<usize>())
}

/// Marks that recovery has found, in the order of the log: of several with one id the last counts.
#[derive(Debug, Default)]
pub(crate) struct FoundMarks {
    by_id: HashMap<String, (Instant, Stored)>,
    /// The records with marks, by sequence.
    records: HashMap<u64, Stored>,
}

impl FoundMarks {
    /// A mark in the record of its message.
    pub(crate) fn put(&mut self, id: &str, at: Instant, stored: Stored) {
        self.by_id.insert(id.to_owned(), (at, stored));
        if self.by_id.len() >= 2 * limits::DEDUP_IDS_MAX {
            let made = |(at, stored): &(Instant, Stored)| (*at, stored.location.sequence);
            let mut all: Vec<_> = self.by_id.values().map(made).collect();
            let (_, oldest, _) = all.select_nth_unstable(limits::DEDUP_IDS_MAX);
            self.by_id.retain(|_, mark| made(mark) >= *oldest);
        }
    }

    /// A record with marks.
    pub(crate) fn record(&mut self, marks: &[(Instant, &str)], stored: Stored) {
        self.records.insert(stored.location.sequence, stored);
        marks.iter().for_each(|(at, id)| self.put(id, *at, stored));
    }

    /// Those that are still within the window.
    pub(crate) fn into_marks(self, now: Instant, window: Duration) -> Marks {
        let (mut kept, mut put) = (Vec::new(), Vec::new());
        for (id, (at, stored)) in self.by_id {
            // The clock may have been set back since.
            let at = at.min(now);
            if now.since(at) < window {
                let is_kept = self.records.contains_key(&stored.location.sequence);
                if is_kept { &mut kept } else { &mut put }.push((stored, at, id));
            }
        }
        // Records are in order by their oldest mark; within one, and behind them all, the order is that of time.
        let mut oldest = HashMap::new();
        for (stored, at, _) in &kept {
            let first = oldest.entry(stored.location.sequence).or_insert(*at);
            *first = (*first).min(*at);
        }
        kept.sort_unstable_by_key(|(stored, at, _)| {
            let sequence = stored.location.sequence;
            (oldest.get(&sequence).copied(), sequence, *at)
        });
        put.sort_unstable_by_key(|(stored, ..)| stored.location.sequence);
        let mut marks = Marks::default();
        for (stored, at, id) in kept {
            marks.add(&id, at, stored);
            match marks.records.back_mut().filter(|kept| kept.stored == stored) {
                Some(kept) => kept.count += 1,
                None => marks.records.push_back(Kept { stored, count: 1 }),
            }
            marks.kept += 1;
        }
        put.into_iter().for_each(|(stored, at, id)| marks.add(&id, at, stored));
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::entry::Location;

    const WINDOW: Duration = Duration::from_millis(100);

    fn stored(sequence: u64) -> Stored {
        let segment = sequence as u32 / 10;
        Stored { location: Location { sequence, segment, offset: 0 }, bytes: 1 }
    }

    fn ms(ms: u64) -> Instant {
        Instant::from_ms(ms)
    }

    fn some(count: u64) -> Marks {
        let mut marks = Marks::default();
        (1..=count).for_each(|number| marks.add(&format!("m{number}"), ms(number), stored(number)));
        marks
    }

    #[test]
    fn what_marks_take_is_what_is_told() {
        let mut marks = Marks::default();
        let taken = allocation_counter::measure(|| marks = some(10_000)).bytes_current as usize;
        assert!(
            (taken * 99 / 100..taken * 9 / 8).contains(&marks.bytes()),
            "{} told of {taken}",
            marks.bytes()
        );
        // All are taken anew; the older marks go first.
        (1..=10_000).for_each(|number| marks.add(&format!("m{number}"), ms(20_000), stored(10_000 + number)));
        while marks.order.len() > 10_000 {
            marks.forget(ms(20_000), WINDOW, |_| ());
        }
        let twice = marks.bytes();
        assert!((taken * 99 / 100..taken * 2).contains(&twice), "{twice} told, once it was {taken}");
        while !marks.order.is_empty() {
            marks.forget(ms(30_000), WINDOW, |_| ());
        }
        assert!(marks.bytes() < taken / 8 && marks.ids_bytes == 0, "{} of {taken} are left", marks.bytes());
    }

    fn ids(record: &Record<'_>) -> Vec<String> {
        let Record::Marks { marks, .. } = record else { panic!("{record:?}") };
        marks.iter().map(|(_, id)| (*id).to_owned()).collect()
    }

    #[test]
    fn an_id_is_taken_until_the_window_has_passed() {
        let marks = some(3);
        assert_eq!(marks.find("m2", ms(101), WINDOW), Some(2));
        assert_eq!(marks.find("m2", ms(102), WINDOW), None);
        assert_eq!(marks.find("m4", ms(3), WINDOW), None);
        assert_eq!(marks.find("m2", ms(3), Duration::ZERO), None);
    }

    #[test]
    fn at_the_limit_the_oldest_are_forgotten_and_counted_and_those_past_their_time_are_not() {
        let mut marks = some(10);
        assert_eq!(marks.forget_beyond(10, ms(50), WINDOW, |_| panic!("nothing is kept")), 0);
        assert_eq!(marks.forget_beyond(7, ms(50), WINDOW, drop), 3);
        assert_eq!((marks.find("m3", ms(50), WINDOW), marks.find("m4", ms(50), WINDOW)), (None, Some(4)));
        assert_eq!(
            marks.forget_beyond(3, ms(106), WINDOW, drop),
            1,
            "three of the four were past their time"
        );
        assert_eq!(marks.by_id.len(), 3);
    }

    #[test]
    fn an_id_that_is_taken_anew_is_not_forgotten_with_its_older_mark() {
        let mut marks = some(1);
        marks.add("m1", ms(150), stored(15));
        marks.forget(ms(160), WINDOW, drop);
        assert_eq!(marks.order.len(), 1);
        assert_eq!(marks.find("m1", ms(160), WINDOW), Some(15));
    }

    #[test]
    fn marks_move_to_records_of_their_own_which_die_with_the_last_of_them() {
        let mut marks = some(25);
        assert_eq!(marks.needs(), Some(0));
        let (record, count) = marks.next_record(7, 1, 4 * (MARK_BYTES + 2)).unwrap();
        assert_eq!((ids(&record), count), (vec!["m1".into(), "m2".into(), "m3".into(), "m4".into()], 4));
        marks.keep(4, stored(100));
        let count = marks.next_record(7, 1, usize::MAX).unwrap().1;
        assert_eq!(count, 15, "the rest of the segments 0 and 1");
        marks.keep(count, stored(101));
        assert!(marks.next_record(7, 1, usize::MAX).is_none());
        assert_eq!(marks.needs(), Some(2));
        let (again, from) = marks.record_again(7, |at| at == stored(101)).unwrap();
        assert_eq!((ids(&again).len(), from), (15, stored(101)));
        marks.carried(stored(101), stored(200));
        let mut died = Vec::new();
        marks.forget(ms(103), WINDOW, |stored| died.push(stored.location.sequence));
        assert!(died.is_empty(), "one of the first four is there");
        marks.forget(ms(119), WINDOW, |stored| died.push(stored.location.sequence));
        assert_eq!(died, [100, 200]);
        assert_eq!((marks.kept, marks.order.len()), (0, 6));
    }

    #[test]
    fn recovery_finds_each_mark_where_it_was_written_last() {
        let mut found = FoundMarks::default();
        found.put("a", ms(1), stored(1));
        found.put("b", ms(2), stored(2));
        found.put("c", ms(150), stored(30));
        found.record(&[(ms(1), "a"), (ms(60), "b")], stored(40));
        found.put("a", ms(120), stored(41));
        let marks = found.into_marks(ms(155), WINDOW);
        assert_eq!(marks.find("a", ms(155), WINDOW), Some(41), "taken anew");
        assert_eq!(marks.find("b", ms(155), WINDOW), Some(40));
        assert_eq!(marks.find("c", ms(155), WINDOW), Some(30));
        assert_eq!((marks.kept, marks.records.len(), marks.needs()), (1, 1, Some(3)));
        assert_eq!(marks.records[0].count, 1);
    }

    #[test]
    fn of_a_log_with_more_marks_than_the_limit_the_newest_are_found() {
        let mut found = FoundMarks::default();
        let count = 2 * limits::DEDUP_IDS_MAX as u64 + 10;
        (1..=count).for_each(|number| found.put(&number.to_string(), ms(number), stored(number)));
        assert!(found.by_id.len() < 2 * limits::DEDUP_IDS_MAX);
        assert!(found.by_id.contains_key(&count.to_string()) && !found.by_id.contains_key("1"));
    }
}
