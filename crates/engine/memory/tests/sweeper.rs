//! The background work, on a clock that jumps from one end of sleep to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use forebay_core::entry::{Read, Version, Write};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::{Clock, Run};
use forebay_core::ports::local_store::LocalStore;
use forebay_core::time::Instant;
use forebay_memory::{Memory, MemoryOptions, sweeper};

const START_MS: u64 = 1_700_000_000_000;

/// Sleeps take no time as long as some are left, and then do not end.
#[derive(Clone)]
struct Jumps(Arc<State>);

struct State {
    now_ms: AtomicU64,
    left: AtomicUsize,
    longest_ms: AtomicU64,
}

impl Clock for Jumps {
    fn now(&self) -> Instant {
        Instant::from_ms(self.0.now_ms.load(SeqCst))
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        let state = self.0.clone();
        Box::pin(std::future::poll_fn(move |_| {
            if state.left.load(SeqCst) == 0 {
                return Poll::Pending;
            }
            state.left.fetch_sub(1, SeqCst);
            let before = state.now_ms.swap(at.as_ms(), SeqCst);
            state.longest_ms.fetch_max(at.as_ms() - before, SeqCst);
            Poll::Ready(())
        }))
    }

    fn random(&self) -> u64 {
        0
    }
}

fn memory() -> Arc<Memory> {
    Arc::new(Memory::new(MemoryOptions {
        bytes_max: 16 * 1024 * 1024,
        value_bytes_max: 1024 * 1024,
        first_version: Version(1),
    }))
}

fn clock() -> Jumps {
    let (now_ms, left, longest_ms) = (AtomicU64::new(START_MS), AtomicUsize::new(0), AtomicU64::new(0));
    Jumps(Arc::new(State { now_ms, left, longest_ms }))
}

fn task(memory: &Arc<Memory>, clock: &Jumps) -> BoxFuture<'static, ()> {
    match sweeper(memory.clone(), Arc::new(clock.clone())).run {
        Run::Task(task) => task,
        Run::Thread(_) => unreachable!("sweeping does not block"),
    }
}

fn poll(task: &mut BoxFuture<'static, ()>) -> Poll<()> {
    task.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn entries_are_gone_soon_after_their_end_and_the_pauses_are_bounded() {
    let (memory, clock) = (memory(), clock());
    let end = Instant::from_ms(START_MS) + Duration::from_secs(20);
    for number in 0..20_000u32 {
        let write = Write { expires_at: Some(end), ..Write::at(Instant::from_ms(START_MS)) };
        memory.write(&number.to_be_bytes(), b"value", write);
    }
    let mut task = task(&memory, &clock);
    while clock.now() < end {
        assert_eq!(memory.stats().items, 20_000, "nothing goes before its end");
        clock.0.left.store(1, SeqCst);
        assert!(poll(&mut task).is_pending());
    }
    clock.0.left.store(100, SeqCst);
    assert!(poll(&mut task).is_pending());
    assert_eq!(memory.stats().items, 0);
    assert_eq!(memory.stats().expired, 20_000);
    assert_eq!(clock.0.longest_ms.load(SeqCst), 1_000, "it rests while there is nothing to do");
}

#[test]
fn what_only_has_to_be_looked_at_does_not_slow_the_sweeps_down() {
    const KEYS: u32 = 60_000;
    let (memory, clock) = (memory(), clock());
    let start = Instant::from_ms(START_MS);
    let (end, later) = (start + Duration::from_secs(20), start + Duration::from_secs(3600));
    for number in 0..KEYS {
        let write = Write { expires_at: Some(end), ..Write::at(start) };
        memory.write(&number.to_be_bytes(), &[1; 100], write);
    }
    // Wherever one looks first, there is something that may have ended by then and has not.
    for number in 0..KEYS - 1_000 {
        memory.read(&number.to_be_bytes(), Read { touch: Some(Some(later)), ..Read::at(start) }, &mut |_| ());
    }
    let mut task = task(&memory, &clock);
    while clock.now() < end + Duration::from_secs(5) {
        clock.0.left.store(1, SeqCst);
        assert!(poll(&mut task).is_pending());
    }
    assert_eq!(memory.stats().items, u64::from(KEYS) - 1_000);
}

#[test]
fn the_work_ends_when_the_store_is_dropped() {
    let (memory, clock) = (memory(), clock());
    let mut task = task(&memory, &clock);
    clock.0.left.store(5, SeqCst);
    assert!(poll(&mut task).is_pending());
    drop(memory);
    clock.0.left.store(1, SeqCst);
    assert!(poll(&mut task).is_ready());
}
