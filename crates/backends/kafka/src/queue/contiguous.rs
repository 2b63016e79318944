//! What of one partition was read and settled, in any order, and what of that a commit says: the offset up to which all is
//! settled, and in its metadata what beyond it is, with the attempts of what is not. Pure.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use forebay_core::limits::kafka as limits;
use serde::{Deserialize, Serialize};

use super::ranges::Ranges;

/// A place in a partition.
pub(crate) type Offset = i64;

/// What is kept of a message that waits for its next attempt in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tries {
    /// Attempts that counted.
    pub(crate) attempts: u32,
    /// When the next one is due, in milliseconds.
    pub(crate) due_ms: u64,
}

/// The offsets of one partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contiguous {
    /// Behind the newest that was read.
    next: Offset,
    /// Read and not settled.
    open: BTreeSet<Offset>,
    /// Settled. Those before the first that is open are of no interest any more.
    settled: Ranges,
    /// Of these, what was settled without having been read, or may have been so in an earlier life.
    skipped: Ranges,
    tries: BTreeMap<Offset, Tries>,
}

/// What goes with a commit, from the committed offset on.
#[derive(Serialize, Deserialize, Default)]
struct Mark {
    /// How many are not settled, how many are, and so on.
    runs: Vec<u64>,
    /// How far behind the committed offset, and what.
    tries: Vec<(u64, Tries)>,
}

impl Contiguous {
    /// What a commit said. One that nobody here has written says only its offset.
    pub(crate) fn restore(base: Offset, mark: &str) -> Self {
        let mut restored = Self { next: base, ..Self::default() };
        let bytes = STANDARD_NO_PAD.decode(mark).unwrap_or_default();
        let mark: Mark = postcard::from_bytes(&bytes).unwrap_or_default();
        let mut at = base;
        for (index, run) in mark.runs.into_iter().enumerate() {
            let Some(end) = Offset::try_from(run).ok().and_then(|run| at.checked_add(run)) else { break };
            if index % 2 == 1 {
                restored.settled.add(at, end);
                if run > limits::SKIPPED_SPAN_MAX {
                    restored.skipped.add(at, end);
                }
            }
            at = end;
        }
        let tries = mark
            .tries
            .into_iter()
            .filter_map(|(behind, tries)| Some((base.checked_add(Offset::try_from(behind).ok()?)?, tries)));
        restored.tries = tries.collect();
        restored
    }

    /// A message was read. Whether it is to be handed out: it was not settled before.
    pub(crate) fn read(&mut self, offset: Offset) -> bool {
        // What lies between is not there: it was removed, or is none of the messages.
        if offset > self.next {
            self.settled.add(self.next, offset);
            // Others may have removed very many behind one that is held here: it is to hold up nothing.
            if offset.abs_diff(self.next) > limits::SKIPPED_SPAN_MAX {
                self.skipped.add(self.next, offset);
            }
        }
        // What was skipped may be committed already, and is not kept then.
        let settled = offset < self.base() || self.settled.contains(offset);
        self.next = self.next.max(offset.saturating_add(1));
        if settled {
            return false;
        }
        self.open.insert(offset);
        true
    }

    /// It is settled.
    pub(crate) fn settle(&mut self, offset: Offset) {
        if self.open.remove(&offset) {
            self.settled.add(offset, offset.saturating_add(1));
            self.tries.remove(&offset);
        }
    }

    /// What was settled could not be committed, and is open again.
    pub(crate) fn reopen(&mut self, offset: Offset) {
        self.settled.remove(offset);
        if offset < self.next {
            self.open.insert(offset);
        }
    }

    /// All that was not read before `end` is settled.
    pub(crate) fn skip_to(&mut self, end: Offset) {
        if end > self.next {
            self.settled.add(self.next, end);
            self.skipped.add(self.next, end);
            self.tries.split_off(&self.next);
            self.next = end;
        }
    }

    /// An attempt has failed, and the message waits in its place.
    pub(crate) fn tried(&mut self, offset: Offset, tries: Tries) {
        if self.open.contains(&offset) {
            self.tries.insert(offset, tries);
        }
    }

    /// What is known of the attempts of a message.
    pub(crate) fn tries(&self, offset: Offset) -> Option<Tries> {
        self.tries.get(&offset).copied()
    }

    /// It is as before: it has not been tried so often.
    pub(crate) fn untried(&mut self, offset: Offset, before: Option<Tries>) {
        match before {
            Some(tries) => self.tries.insert(offset, tries),
            None => self.tries.remove(&offset),
        };
    }

    /// How many wait for their next attempt in their place, or have waited.
    pub(crate) fn tried_count(&self) -> usize {
        self.tries.len()
    }

    /// Behind the newest that was read.
    pub(crate) fn next(&self) -> Offset {
        self.next
    }

    /// How many are open.
    pub(crate) fn open_count(&self) -> usize {
        self.open.len()
    }

    /// From the first that is open to the newest. What was skipped counts by the room that it takes in the mark.
    pub(crate) fn span(&self) -> u64 {
        let (base, length) = (self.base(), |from, to| u64::try_from(to - from).unwrap_or(0));
        let skipped = self.skipped.from(base).map(|(start, end)| length(start, end.min(self.next)));
        let spared: u64 = skipped.map(|skipped| skipped.saturating_sub(limits::SKIPPED_SPAN_MAX)).sum();
        length(base, self.next).saturating_sub(spared)
    }

    /// How many of the offsets before `end`, from the first that is open on, are settled.
    pub(crate) fn settled_before(&self, end: Offset) -> u64 {
        let base = self.base();
        let within = self.settled.from(base).map(|(start, until)| until.min(end) - start);
        within.filter_map(|length| u64::try_from(length).ok()).sum()
    }

    /// What is to be committed: everything before it is settled.
    pub(crate) fn base(&self) -> Offset {
        let first = self.open.first().copied().unwrap_or(self.next);
        // What was settled in an earlier life may go on behind what was read in this one.
        self.settled.around(first).map_or(first, |(_, end)| end)
    }

    /// What is to be said beside that.
    pub(crate) fn mark(&self) -> String {
        let base = self.base();
        let mut mark = Mark::default();
        let mut at = base;
        for (start, end) in self.settled.from(base) {
            mark.runs.extend([start - at, end - start].map(|run| u64::try_from(run).unwrap_or(0)));
            at = end;
        }
        let tries = self.tries.range(base..);
        mark.tries = tries.map(|(at, tries)| (u64::try_from(at - base).unwrap_or(0), *tries)).collect();
        if mark.runs.is_empty() && mark.tries.is_empty() {
            return String::new();
        }
        STANDARD_NO_PAD.encode(postcard::to_allocvec(&mark).unwrap_or_default())
    }

    /// It was committed: what lies before it need not be kept.
    pub(crate) fn committed(&mut self, base: Offset) {
        self.settled.forget_before(base);
        self.skipped.forget_before(base);
        self.tries = self.tries.split_off(&base);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const BASE: Offset = 1_000;

    fn read(contiguous: &mut Contiguous, offsets: impl IntoIterator<Item = Offset>) -> Vec<Offset> {
        offsets.into_iter().filter(|offset| contiguous.read(*offset)).collect()
    }

    fn again(contiguous: &Contiguous) -> Contiguous {
        Contiguous::restore(contiguous.base(), &contiguous.mark())
    }

    #[test]
    fn a_commit_goes_up_to_the_first_that_is_not_settled() {
        let mut offsets = Contiguous::restore(BASE, "");
        read(&mut offsets, BASE..BASE + 4);
        offsets.settle(BASE + 1);
        assert_eq!(offsets.base(), BASE);
        offsets.settle(BASE);
        assert_eq!(offsets.base(), BASE + 2);
        offsets.settle(BASE + 3);
        offsets.settle(BASE + 2);
        assert_eq!((offsets.base(), offsets.mark()), (BASE + 4, String::new()));
    }

    #[test]
    fn what_was_settled_beyond_the_commit_is_not_handed_out_again() {
        let mut offsets = Contiguous::restore(BASE, "");
        read(&mut offsets, BASE..BASE + 6);
        [2, 3, 5].into_iter().for_each(|behind| offsets.settle(BASE + behind));
        let mut restored = again(&offsets);
        assert_eq!(read(&mut restored, BASE..BASE + 8), [0, 1, 4, 6, 7].map(|behind| BASE + behind));
    }

    #[test]
    fn what_was_skipped_and_committed_is_not_handed_out_when_it_is_read_at_last() {
        let mut offsets = Contiguous::restore(BASE, "");
        offsets.skip_to(BASE + 2);
        offsets.committed(BASE + 2);
        assert_eq!(read(&mut offsets, BASE..BASE + 3), [BASE + 2]);
        assert_eq!(offsets.base(), BASE + 2);
    }

    #[test]
    fn offsets_that_are_not_there_hold_nothing_up() {
        let mut offsets = Contiguous::restore(BASE, "");
        read(&mut offsets, [BASE + 5, BASE + 9]);
        offsets.settle(BASE + 5);
        assert_eq!(offsets.base(), BASE + 9);
    }

    #[test]
    fn attempts_come_back_with_what_waits_for_its_next() {
        let mut offsets = Contiguous::restore(BASE, "");
        read(&mut offsets, BASE..BASE + 3);
        let tries = Tries { attempts: 3, due_ms: 1_700_000_000_000 };
        offsets.tried(BASE + 1, tries);
        offsets.settle(BASE);
        let mut restored = again(&offsets);
        assert_eq!(restored.tries(BASE + 1), Some(tries));
        read(&mut restored, BASE + 1..BASE + 3);
        restored.settle(BASE + 1);
        assert_eq!(again(&restored).tries(BASE + 1), None);
    }

    #[test]
    fn what_could_not_be_committed_is_open_again() {
        let mut offsets = Contiguous::restore(BASE, "");
        read(&mut offsets, BASE..BASE + 3);
        (BASE..BASE + 3).for_each(|offset| offsets.settle(offset));
        offsets.reopen(BASE + 1);
        assert_eq!(offsets.base(), BASE + 1);
        assert_eq!(read(&mut again(&offsets), BASE + 1..BASE + 4), [BASE + 1, BASE + 3]);
    }

    #[test]
    fn what_is_skipped_is_settled_and_what_is_open_stays_so() {
        let mut offsets = Contiguous::restore(BASE, "");
        read(&mut offsets, [BASE]);
        offsets.skip_to(BASE + 1_000_000);
        assert_eq!(offsets.base(), BASE);
        assert!(offsets.mark().len() < 20);
        let mut restored = again(&offsets);
        let expected = [BASE, BASE + 1_000_000];
        assert_eq!(read(&mut restored, [BASE, BASE + 1, BASE + 999_999, BASE + 1_000_000]), expected);
    }

    #[test]
    fn however_much_is_skipped_behind_what_is_held_there_is_room_for_more() {
        let mut offsets = Contiguous::restore(BASE, "");
        read(&mut offsets, [BASE]);
        offsets.skip_to(BASE + 1_000_000);
        assert!(offsets.span() < limits::SPAN_MAX / 2);
        let mut restored = again(&offsets);
        assert_eq!(read(&mut restored, BASE..BASE + 500_000), [BASE]);
        assert!(restored.span() < limits::SPAN_MAX / 2, "it is read through at last");
        restored.settle(BASE);
        assert_eq!((restored.base(), restored.span()), (BASE + 1_000_000, 0));
    }

    #[test]
    fn however_much_was_removed_behind_what_is_held_there_is_room_for_more() {
        let mut offsets = Contiguous::restore(BASE, "");
        assert_eq!(read(&mut offsets, [BASE, BASE + 1_000_000]), [BASE, BASE + 1_000_000]);
        assert!(offsets.span() < limits::SPAN_MAX / 2);
        offsets.settle(BASE);
        assert_eq!(offsets.base(), BASE + 1_000_000);
    }

    #[test]
    fn however_often_is_skipped_the_mark_fits() {
        let mut offsets = Contiguous::restore(BASE, "");
        while offsets.span() < limits::SPAN_MAX && offsets.open_count() < limits::OPEN_MAX {
            let next = offsets.next();
            read(&mut offsets, [next]);
            offsets.skip_to(next + (1 << 50));
        }
        let gap = Offset::try_from(limits::SPAN_MAX).unwrap() / Offset::try_from(limits::OPEN_MAX).unwrap();
        while offsets.open_count() < limits::OPEN_MAX {
            let next = offsets.next();
            read(&mut offsets, [next + gap]);
        }
        assert!(offsets.mark().len() <= 4_096, "{}", offsets.mark().len());
    }

    #[test]
    fn a_mark_of_another_program_says_nothing() {
        for mark in ["", "theirs", "////", "AAAA", "gICAgICAgICAgA"] {
            let mut restored = Contiguous::restore(BASE, mark);
            assert!(restored.read(BASE) || restored.base() >= BASE);
        }
    }

    #[test]
    fn the_fullest_mark_fits_into_kafkas_metadata() {
        let mut offsets = Contiguous::restore(BASE, "");
        let span = Offset::try_from(limits::SPAN_MAX).unwrap();
        read(&mut offsets, BASE..BASE + span);
        let gap = span / Offset::try_from(limits::OPEN_MAX).unwrap();
        for offset in (0..span).filter(|offset| offset % gap != 0) {
            offsets.settle(BASE + offset);
        }
        assert_eq!(offsets.open_count(), limits::OPEN_MAX);
        for index in 0..Offset::try_from(limits::TRIES_MAX).unwrap() {
            let at = BASE + (limits::OPEN_MAX as Offset - 1 - index) * gap;
            offsets.tried(at, Tries { attempts: 10_000, due_ms: 1 << 41 });
        }
        offsets.skip_to(BASE + (1 << 50));
        assert!(offsets.mark().len() <= 4_096, "{}", offsets.mark().len());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Read(Offset),
        Settle(usize),
        Commit,
        Fail(usize),
        Restart,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1_i64..4).prop_map(Step::Read),
            4 => any::<usize>().prop_map(Step::Settle),
            1 => Just(Step::Commit),
            1 => any::<usize>().prop_map(Step::Fail),
            1 => Just(Step::Restart),
        ]
    }

    proptest! {
        /// Over any history, restarts included: what was settled and committed never comes again, and what was not, does.
        #[test]
        fn nothing_is_lost_and_nothing_settled_comes_again(steps in vec(step(), 1..200)) {
            let mut offsets = Contiguous::restore(0, "");
            let (mut log, mut settled) = (BTreeSet::new(), BTreeSet::new());
            let mut end = 0;
            for step in steps {
                match step {
                    Step::Read(gap) => {
                        end += gap;
                        log.insert(end);
                        prop_assert!(offsets.read(end));
                    }
                    Step::Settle(index) | Step::Fail(index) => {
                        let open: Vec<_> = log.difference(&settled).copied().collect();
                        let Some(offset) = (!open.is_empty()).then(|| open[index % open.len()]) else { continue };
                        offsets.settle(offset);
                        if matches!(step, Step::Fail(_)) {
                            offsets.reopen(offset);
                        } else {
                            settled.insert(offset);
                        }
                    }
                    Step::Commit => {
                        let base = offsets.base();
                        offsets.committed(base);
                    }
                    Step::Restart => {
                        let base = offsets.base();
                        prop_assert!(log.difference(&settled).all(|open| *open >= base));
                        offsets = again(&offsets);
                        let expected: Vec<_> = log.difference(&settled).copied().collect();
                        let read = read(&mut offsets, log.range(base..).copied());
                        prop_assert_eq!(read, expected);
                    }
                }
            }
        }
    }
}
