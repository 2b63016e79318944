//! What a test of something with servers stands on: a runtime of its own, as a process has, and an end to every call.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use forebay_core::ports::clock::{Run, Work};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A process, as far as servers can tell. What it still runs when it is dropped ends with it, and is not waited for.
pub struct Ground {
    runtime: Option<Runtime>,
    call_max: Duration,
}

impl Ground {
    /// One on which no call may take longer than so.
    pub fn new(call_max: Duration) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        Self { runtime: Some(runtime.expect("a runtime")), call_max }
    }

    /// Where to begin tasks.
    pub fn handle(&self) -> &Handle {
        self.runtime.as_ref().expect("it is there until this is dropped").handle()
    }

    /// Begins what is to be run for a store, broker or bus.
    pub fn spawn(&self, works: Vec<Work>) -> Vec<JoinHandle<()>> {
        let tasks = works.into_iter().filter_map(|work| match work.run {
            Run::Task(task) => Some(self.handle().spawn(task)),
            Run::Thread(_) => None,
        });
        tasks.collect()
    }

    /// Runs a future to its end.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.handle().block_on(async { timeout(self.call_max, future).await }).expect("a call does not end")
    }

    /// Runs it for so long, and says whether it ended.
    pub fn run_for(&self, time: Duration, future: impl Future<Output = ()>) -> bool {
        self.handle().block_on(async { timeout(time, future).await.is_ok() })
    }

    /// Runs it until all is quiet, which the other future waits for, and says whether it ended.
    pub fn run_until(&self, quiet: impl Future<Output = ()>, future: impl Future<Output = ()>) -> bool {
        self.run(async {
            tokio::select! {
                biased;
                () = future => true,
                () = quiet => false,
            }
        })
    }

    /// Waits until works have ended by themselves, as they do when what they are run for is closed.
    pub fn join(&self, works: Vec<JoinHandle<()>>) {
        works.into_iter().for_each(|work| self.run(work).expect("nothing fails in it"));
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
