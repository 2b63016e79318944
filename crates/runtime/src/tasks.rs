//! Runs what constructors return, notices what dies, and waits for the rest at the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use forebay_core::health::Health;
use forebay_core::ports::clock::{Run, Spawn, Work};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time;
use tracing::{debug, error};

/// Work that is running. Cloning shares the list.
#[derive(Clone)]
pub struct Tasks {
    handle: Handle,
    health: Arc<Health>,
    running: Arc<Running>,
}

/// What has begun and not ended.
#[derive(Default)]
struct Running {
    names: Mutex<Names>,
    ended: Notify,
}

#[derive(Default)]
struct Names {
    next: u64,
    by_number: BTreeMap<u64, &'static str>,
}

/// What a drain left behind.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// The names of the work that did not end in time.
    pub unfinished: Vec<&'static str>,
}

impl Tasks {
    /// Runs work on this runtime. Work that panics is told to `health`.
    pub fn new(handle: Handle, health: Arc<Health>) -> Self {
        Self { handle, health, running: Arc::default() }
    }

    /// Starts all of it, in order.
    pub fn spawn_all(&self, work: Vec<Work>) {
        for one in work {
            self.spawn(one);
        }
    }

    /// Waits until everything has ended, or `timeout` is over. It stops nothing: whoever made the work has closed it.
    pub async fn drain(&self, timeout: Duration) -> Drained {
        let all_ended = async {
            loop {
                let ended = self.running.ended.notified();
                tokio::pin!(ended);
                ended.as_mut().enable();
                if self.running.names.lock().by_number.is_empty() {
                    return;
                }
                ended.await;
            }
        };
        match time::timeout(timeout, all_ended).await {
            Ok(()) => Drained::default(),
            Err(_) => Drained { unfinished: self.running.names.lock().by_number.values().copied().collect() },
        }
    }

    fn guard(&self, name: &'static str) -> Guard {
        let mut names = self.running.names.lock();
        let number = names.next;
        names.next += 1;
        names.by_number.insert(number, name);
        Guard { name, number, health: Arc::clone(&self.health), running: Arc::clone(&self.running) }
    }
}

impl Spawn for Tasks {
    fn spawn(&self, work: Work) {
        debug!(work = work.name, "starts");
        let guard = self.guard(work.name);
        match work.run {
            Run::Task(task) => {
                self.handle.spawn(async move {
                    let _guard = guard;
                    task.await;
                });
            }
            Run::Thread(body) => {
                let thread = thread::Builder::new().name(work.name.into());
                let started = thread.spawn(move || {
                    let _guard = guard;
                    body();
                });
                if let Err(reason) = started {
                    error!(work = work.name, %reason, "cannot start a thread");
                    self.health.fail(format!("{} could not start", work.name));
                }
            }
        }
    }
}

/// Lives as long as one piece of work, however that ends.
struct Guard {
    name: &'static str,
    number: u64,
    health: Arc<Health>,
    running: Arc<Running>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if thread::panicking() {
            error!(work = self.name, "has panicked");
            self.health.fail(format!("{} has panicked", self.name));
        }
        self.running.names.lock().by_number.remove(&self.number);
        self.running.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    fn task(name: &'static str, body: impl Future<Output = ()> + Send + 'static) -> Work {
        Work { name, run: Run::Task(Box::pin(body)) }
    }

    fn tasks() -> (Tasks, Arc<Health>) {
        let health = Arc::new(Health::default());
        (Tasks::new(Handle::current(), Arc::clone(&health)), health)
    }

    #[tokio::test]
    async fn a_drain_waits_for_tasks_and_threads() {
        let (tasks, health) = tasks();
        let (let_task_end, task_may_end) = oneshot::channel::<()>();
        let (let_thread_end, thread_may_end) = std::sync::mpsc::channel::<()>();
        tasks.spawn_all(vec![
            task("a task", async move { task_may_end.await.unwrap() }),
            Work { name: "a thread", run: Run::Thread(Box::new(move || thread_may_end.recv().unwrap())) },
        ]);
        assert_eq!(tasks.drain(Duration::ZERO).await.unfinished, ["a task", "a thread"]);
        let_thread_end.send(()).unwrap();
        let_task_end.send(()).unwrap();
        assert_eq!(tasks.drain(Duration::from_secs(60)).await, Drained::default());
        assert!(health.failures().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_names_what_did_not_end_in_time() {
        let (tasks, _) = tasks();
        tasks.spawn(task("stuck", std::future::pending()));
        tasks.spawn(task("quick", std::future::ready(())));
        assert_eq!(tasks.drain(Duration::from_secs(10)).await.unfinished, ["stuck"]);
    }

    #[tokio::test]
    async fn work_that_panics_turns_health_bad_and_does_not_hold_up_the_drain() {
        let (tasks, health) = tasks();
        tasks.spawn(task("a task", async { panic!("on purpose") }));
        tasks.spawn(Work {
            name: "a thread",
            run: Run::Thread(Box::new(|| std::panic::panic_any("on purpose"))),
        });
        assert_eq!(tasks.drain(Duration::from_secs(60)).await, Drained::default());
        let mut failures = health.failures();
        failures.sort();
        assert_eq!(failures, ["a task has panicked", "a thread has panicked"]);
    }

    #[tokio::test]
    async fn a_thread_carries_its_name() {
        let (tasks, _) = tasks();
        let (tell, told) = oneshot::channel();
        tasks.spawn(Work {
            name: "commit log",
            run: Run::Thread(Box::new(move || {
                tell.send(thread::current().name().map(String::from)).unwrap();
            })),
        });
        assert_eq!(told.await.unwrap().as_deref(), Some("commit log"));
    }
}
