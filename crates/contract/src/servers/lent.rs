//! Servers that the tests of a process share, each lent to one test at a time: most tests do something to theirs.

use std::ops::Deref;
use std::thread;

use parking_lot::{Condvar, Mutex};

/// Some servers, each started when it is first needed. They end with the process.
pub struct Pool<S> {
    start: fn() -> Option<S>,
    count: usize,
    state: Mutex<State<S>>,
    returned: Condvar,
}

struct State<S> {
    idle: Vec<S>,
    /// Idle or lent.
    started: usize,
    turns: u32,
}

/// A server that nobody else has meanwhile.
pub struct Lent<S: 'static> {
    /// `None` only while it is started or given back.
    server: Option<S>,
    pool: &'static Pool<S>,
    /// How often one was lent before: tells what tests leave on it.
    pub turn: u32,
}

impl<S> Pool<S> {
    /// At most so many of those that are started like this.
    pub const fn new(count: usize, start: fn() -> Option<S>) -> Self {
        let state = State { idle: Vec::new(), started: 0, turns: 0 };
        Self { start, count, state: Mutex::new(state), returned: Condvar::new() }
    }

    /// Lends one, and waits where all are lent. `None` where none can be started here.
    pub fn lend(&'static self) -> Option<Lent<S>> {
        let mut state = self.state.lock();
        let turn = state.turns;
        state.turns += 1;
        loop {
            if let Some(server) = state.idle.pop() {
                return Some(Lent { server: Some(server), pool: self, turn });
            }
            if state.started < self.count {
                state.started += 1;
                drop(state);
                // Given back where it cannot be started.
                let mut lent = Lent { server: None, pool: self, turn };
                lent.server = (self.start)();
                return lent.server.is_some().then_some(lent);
            }
            self.returned.wait(&mut state);
        }
    }
}

impl<S: 'static> Deref for Lent<S> {
    type Target = S;

    fn deref(&self) -> &S {
        self.server.as_ref().expect("it is there until this is dropped")
    }
}

impl<S: 'static> Drop for Lent<S> {
    fn drop(&mut self) {
        // A test that fails leaves it anyhow: the next one gets a new one.
        let kept = self.server.take().filter(|_| !thread::panicking());
        let mut state = self.pool.state.lock();
        match kept {
            Some(server) => state.idle.push(server),
            None => state.started -= 1,
        }
        self.pool.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    #[test]
    fn one_is_started_only_when_those_that_there_are_are_lent_and_nobody_shares_one() {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        static POOL: Pool<usize> = Pool::new(2, || Some(STARTED.fetch_add(1, SeqCst)));
        drop(POOL.lend());
        let one = POOL.lend().unwrap();
        assert_eq!((*one, one.turn, STARTED.load(SeqCst)), (0, 1, 1));
        let other = POOL.lend().unwrap();
        assert_eq!((*other, other.turn), (1, 2));
        let third = thread::spawn(|| *POOL.lend().unwrap());
        drop(one);
        assert_eq!(third.join().unwrap(), 0);
        assert_eq!(STARTED.load(SeqCst), 2);
    }

    #[test]
    fn what_a_failed_test_leaves_is_lent_to_nobody() {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        static POOL: Pool<usize> = Pool::new(1, || Some(STARTED.fetch_add(1, SeqCst)));
        let failed = catch_unwind(AssertUnwindSafe(|| {
            let _lent = POOL.lend();
            panic!("as a test does");
        }));
        assert!(failed.is_err());
        assert_eq!(*POOL.lend().unwrap(), 1);
    }

    #[test]
    fn where_there_is_none_everybody_is_told() {
        static POOL: Pool<usize> = Pool::new(1, || None);
        assert!(POOL.lend().is_none());
        assert!(POOL.lend().is_none());
    }
}
