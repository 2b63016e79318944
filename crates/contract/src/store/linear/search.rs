//! Looks for one order of all calls on a key in which every answer is right: the search of Wing and Gong, which
//! remembers where it has been.

use std::collections::HashMap;

use forebay_core::ports::local_store::LocalStore;

use super::record::{Plan, record};
use super::sequential::{Answer, Asked, Key};

/// One call of one thread.
#[derive(Clone, Debug)]
pub struct Call {
    /// What was asked.
    pub asked: Asked,
    /// What was answered.
    pub answer: Answer,
    /// A number drawn before the call; all draws of a history are one sequence.
    pub began: u64,
    /// One drawn after it.
    pub ended: u64,
}

/// What the store may do by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// It forgets nothing before its time.
    Keeps,
    /// It may forget any entry at any time, and refuse a write for want of room.
    Forgets,
}

/// Why there is no explanation.
#[derive(Debug)]
pub enum Unexplained {
    /// No order explains the history. The longest part that has one ends so; none of the calls that follow fits.
    NoOrder {
        /// Calls that were explained.
        explained: usize,
        /// The key after them.
        key: Box<Key>,
        /// Each thread's next call.
        next: Vec<Call>,
    },
    /// The search was given up.
    TooLong,
}

/// More states than this are not looked at. A history of a few hundred calls takes some thousands, because versions leave
/// little choice.
const STATES_MAX: usize = 1_000_000;

/// Records a history on this store, which is new, and panics where no order explains it.
pub fn check(store: &dyn LocalStore, plan: Plan, memory: Memory) {
    for (key, threads) in record(store, plan).iter().enumerate() {
        if let Err(unexplained) = explain(threads, memory) {
            panic!("key {key} of {plan:?}: {unexplained:#?}");
        }
    }
}

/// Explains the calls of all threads on one key, each thread's in their order. A call takes place at one moment between its
/// beginning and its end.
pub fn explain(threads: &[Vec<Call>], memory: Memory) -> Result<(), Unexplained> {
    let total: usize = threads.iter().map(Vec::len).sum();
    let start = (vec![0; threads.len()], Key::default());
    let (mut best, mut best_sum) = (start.clone(), 0);
    let mut open = vec![start];
    let mut been: HashMap<Vec<usize>, Vec<Key>> = HashMap::new();
    let mut states = 0;
    while let Some((done, key)) = open.pop() {
        let keys = been.entry(done.clone()).or_default();
        if keys.contains(&key) {
            continue;
        }
        keys.push(key.clone());
        states += 1;
        if states > STATES_MAX {
            return Err(Unexplained::TooLong);
        }
        let sum = done.iter().sum();
        if sum == total {
            return Ok(());
        }
        if sum > best_sum {
            (best, best_sum) = ((done.clone(), key.clone()), sum);
        }
        let next =
            |thread: usize| threads.get(thread).zip(done.get(thread)).and_then(|(calls, at)| calls.get(*at));
        // A call that began after another had ended cannot come before it.
        let first_end = (0..threads.len()).filter_map(next).map(|call| call.ended).min();
        for thread in 0..threads.len() {
            let Some(call) = next(thread).filter(|call| first_end.is_some_and(|end| call.began < end)) else {
                continue;
            };
            for key in after(&key, call, memory) {
                let mut done = done.clone();
                done.iter_mut().skip(thread).take(1).for_each(|at| *at += 1);
                open.push((done, key));
            }
        }
    }
    let (done, key) = best;
    let next = threads.iter().zip(done).filter_map(|(calls, at)| calls.get(at).cloned()).collect();
    Err(Unexplained::NoOrder { explained: best_sum, key: Box::new(key), next })
}

/// Every state that the key can be in after the call.
fn after(key: &Key, call: &Call, memory: Memory) -> Vec<Key> {
    let mut keys: Vec<Key> = key.after(&call.asked, &call.answer).into_iter().collect();
    if memory == Memory::Forgets {
        keys.extend(key.after_refusal(&call.asked, &call.answer));
        if !key.is_empty() {
            keys.extend(key.forgotten().after(&call.asked, &call.answer));
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use forebay_core::entry::{Claim, Delete, Deleted, Read, State, Version, Write, Written};

    use super::*;
    use crate::store::ask::{START, Seen};

    fn call(began: u64, ended: u64, asked: Asked, answer: Answer) -> Call {
        Call { asked, answer, began, ended }
    }

    fn set(began: u64, ended: u64, value: &str, version: u64) -> Call {
        let asked = Asked::Write { value: value.into(), write: Write::at(START), lease: None };
        call(began, ended, asked, Answer::Write(Written::Stored(Version(version))))
    }

    fn delete(began: u64, ended: u64) -> Call {
        call(began, ended, Asked::Delete(Delete::at(START)), Answer::Delete(Deleted::Done))
    }

    fn get(began: u64, ended: u64, seen: Option<(&str, u64)>) -> Call {
        let seen = seen.map(|(value, version)| Seen {
            value: value.into(),
            flags: 0,
            version: Version(version),
            expires_at: None,
            state: State::Fresh,
            claim: Claim::None,
            read_before: false,
            accessed_at: START,
        });
        let look = Read { counts: false, ..Read::at(START) };
        call(began, ended, Asked::Read(look), Answer::Read(seen))
    }

    fn is_explained(threads: &[Vec<Call>], memory: Memory) -> bool {
        match explain(threads, memory) {
            Ok(()) => true,
            Err(Unexplained::NoOrder { .. }) => false,
            Err(Unexplained::TooLong) => panic!("so short a history is never too long"),
        }
    }

    #[test]
    fn calls_that_overlap_may_have_come_in_either_order() {
        for (first, second) in [(None, Some(("x", 5))), (None, None), (Some(("x", 5)), Some(("x", 5)))] {
            let reads = vec![get(2, 3, first), get(4, 5, second)];
            assert!(is_explained(&[vec![set(1, 6, "x", 5)], reads], Memory::Keeps), "{first:?} {second:?}");
        }
    }

    #[test]
    fn what_was_seen_once_is_seen_by_all_who_look_later() {
        let first = vec![get(2, 3, Some(("x", 5)))];
        let second = vec![get(4, 5, None)];
        let threads = [vec![set(1, 6, "x", 5)], first, second];
        assert!(!is_explained(&threads, Memory::Keeps));
        assert!(is_explained(&threads, Memory::Forgets), "unless it was forgotten");
    }

    #[test]
    fn a_write_that_has_ended_is_seen() {
        let threads = [vec![set(1, 2, "x", 5)], vec![get(3, 4, None)]];
        assert!(!is_explained(&threads, Memory::Keeps));
    }

    #[test]
    fn an_older_value_is_never_seen_after_a_newer_one_or_a_deletion() {
        let sets = vec![set(1, 2, "x", 5), set(3, 4, "y", 6)];
        let deletes = vec![set(1, 2, "x", 5), delete(3, 4)];
        for writes in [sets, deletes] {
            let threads = [writes, vec![get(5, 6, Some(("x", 5)))]];
            assert!(!is_explained(&threads, Memory::Keeps));
            assert!(!is_explained(&threads, Memory::Forgets), "not even by one that forgets");
        }
    }

    #[test]
    fn a_write_without_room_takes_the_older_value_away() {
        let asked = Asked::Write { value: b"y".to_vec(), write: Write::at(START), lease: None };
        let refused = call(3, 4, asked, Answer::Write(Written::NoRoom));
        let with = |seen| [vec![set(1, 2, "x", 5), refused.clone()], vec![get(5, 6, seen)]];
        assert!(is_explained(&with(None), Memory::Forgets));
        assert!(!is_explained(&with(Some(("x", 5))), Memory::Forgets));
        assert!(!is_explained(&with(None), Memory::Keeps));
    }
}
