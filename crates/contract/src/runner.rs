//! Runs futures and works of a test on the test's own thread, without a runtime.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::{Clock, Run, Spawn, Work};
use parking_lot::{Condvar, Mutex};

use crate::clock::SimClock;

/// How long nothing at all may happen before a test is taken to hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// A single-threaded executor that drives its tasks only inside its own methods; works that block get a thread.
#[derive(Default)]
pub struct Runner {
    bell: Arc<Bell>,
    spawned: Mutex<Vec<Task>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Runner {
    /// Without tasks.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Runs all tasks until none can go on by itself.
    pub fn run_until_idle(&self) {
        while self.run_woken() {}
    }

    /// Runs `future`, and all tasks beside it, until it is ready. Panics when nothing happens for long.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let flag = self.flag();
        let waker = Waker::from(flag.clone());
        let mut future = pin!(future);
        loop {
            let rung = self.bell.rings();
            if flag.woken.swap(false, SeqCst)
                && let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return output;
            }
            if !self.run_woken() && !flag.woken.load(SeqCst) {
                self.bell.wait(rung);
            }
        }
    }

    /// Polls `future` and runs all tasks until neither goes on by itself.
    pub fn poll_once<F: Future + Unpin>(&self, future: &mut F) -> Poll<F::Output> {
        let flag = self.flag();
        let waker = Waker::from(flag.clone());
        let mut future = pin!(future);
        loop {
            if flag.woken.swap(false, SeqCst)
                && let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return Poll::Ready(output);
            }
            if !self.run_woken() && !flag.woken.load(SeqCst) {
                return Poll::Pending;
            }
        }
    }

    /// Lets `time` pass, from one sleeper to the next, with everything run in between.
    pub fn pass(&self, clock: &SimClock, time: Duration) {
        let end = clock.now() + time;
        self.run_until_idle();
        while let Some(next) = clock.next_wake().filter(|next| *next <= end) {
            clock.set(next);
            self.run_until_idle();
        }
        clock.set(end);
        self.run_until_idle();
    }

    /// Waits until every task and thread has ended by itself. Panics when one does not.
    pub fn join(&self) {
        loop {
            let rung = self.bell.rings();
            self.run_until_idle();
            if self.spawned.lock().is_empty() {
                break;
            }
            self.bell.wait(rung);
        }
        for thread in std::mem::take(&mut *self.threads.lock()) {
            assert!(thread.join().is_ok(), "a work panicked on its thread");
        }
    }

    /// Forgets all tasks where they stand.
    pub fn abandon(&self) {
        let tasks = std::mem::take(&mut *self.spawned.lock());
        drop(tasks);
    }

    fn flag(&self) -> Arc<Flag> {
        Arc::new(Flag { woken: AtomicBool::new(true), bell: self.bell.clone() })
    }

    /// Polls each woken task once, and says whether there was one.
    fn run_woken(&self) -> bool {
        let mut tasks = std::mem::take(&mut *self.spawned.lock());
        let mut ran = false;
        tasks.retain_mut(|task| {
            if !task.flag.woken.swap(false, SeqCst) {
                return true;
            }
            ran = true;
            let waker = Waker::from(task.flag.clone());
            task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
        });
        let mut spawned = self.spawned.lock();
        tasks.append(&mut spawned);
        *spawned = tasks;
        ran
    }
}

impl Spawn for Runner {
    fn spawn(&self, work: Work) {
        match work.run {
            Run::Task(future) => {
                self.spawned.lock().push(Task { future, flag: self.flag() });
                self.bell.ring();
            }
            Run::Thread(run) => self.threads.lock().push(std::thread::spawn(run)),
        }
    }
}

struct Task {
    future: BoxFuture<'static, ()>,
    flag: Arc<Flag>,
}

struct Flag {
    woken: AtomicBool,
    bell: Arc<Bell>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, SeqCst);
        self.bell.ring();
    }
}

/// Rung by every waker, so that an idle runner can wait for threads.
#[derive(Default)]
struct Bell {
    rings: Mutex<u64>,
    rung: Condvar,
}

impl Bell {
    fn rings(&self) -> u64 {
        *self.rings.lock()
    }

    fn ring(&self) {
        *self.rings.lock() += 1;
        self.rung.notify_all();
    }

    fn wait(&self, since: u64) {
        let mut rings = self.rings.lock();
        while *rings == since {
            assert!(!self.rung.wait_for(&mut rings, PATIENCE).timed_out(), "nothing happens any more");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleepers_wake_in_the_order_of_their_times() {
        let (runner, clock) = (Runner::new(), SimClock::new(1));
        let woken = Arc::new(Mutex::new(Vec::new()));
        for seconds in [3, 1, 2, 9] {
            let (sleep, woken) =
                (clock.sleep_until(clock.now() + Duration::from_secs(seconds)), woken.clone());
            let run = async move {
                sleep.await;
                woken.lock().push(seconds);
            };
            runner.spawn(Work { name: "sleeper", run: Run::Task(Box::pin(run)) });
        }
        runner.pass(&clock, Duration::from_secs(5));
        assert_eq!(*woken.lock(), [1, 2, 3]);
    }

    #[test]
    fn a_future_is_woken_from_another_thread() {
        let runner = Runner::new();
        let shared = Arc::new(Mutex::new((false, None::<Waker>)));
        let set = shared.clone();
        runner.spawn(Work {
            name: "setter",
            run: Run::Thread(Box::new(move || {
                let mut shared = set.lock();
                shared.0 = true;
                shared.1.take().into_iter().for_each(Waker::wake);
            })),
        });
        runner.block_on(std::future::poll_fn(|context| {
            let mut shared = shared.lock();
            shared.1 = Some(context.waker().clone());
            if shared.0 { Poll::Ready(()) } else { Poll::Pending }
        }));
        runner.join();
    }
}
