//! What every test stands on: a runtime, a clock, and brokers with their works.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::ports::clock::{Run, Work};
use forebay_runtime::clock::TokioClock;
use forebay_sqs::broker::SqsBroker;
use forebay_sqs::settings::SqsSettings;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// No call of a test takes longer.
const CALL_MAX: Duration = Duration::from_secs(60);

/// A process, as far as servers can tell.
pub(crate) struct Ground {
    runtime: Option<Runtime>,
    pub(crate) clock: Arc<TokioClock>,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let clock = runtime.block_on(async { Arc::new(TokioClock::new()) });
        Self { runtime: Some(runtime), clock }
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.runtime.as_ref().unwrap().handle()
    }

    pub(crate) fn broker(&self, url: &str) -> (SqsBroker, Vec<JoinHandle<()>>) {
        let opened = SqsBroker::open(SqsSettings::parse(url).unwrap(), self.clock.clone());
        (opened.broker, self.spawn(opened.work))
    }

    fn spawn(&self, works: Vec<Work>) -> Vec<JoinHandle<()>> {
        let tasks = works.into_iter().filter_map(|work| match work.run {
            Run::Task(task) => Some(self.handle().spawn(task)),
            Run::Thread(_) => None,
        });
        tasks.collect()
    }

    /// Runs a future to its end.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.handle().block_on(async { timeout(CALL_MAX, future).await }).expect("a call does not end")
    }

    /// Runs it for so long, and says whether it ended.
    pub(crate) fn run_for(&self, time: Duration, future: impl Future<Output = ()>) -> bool {
        self.handle().block_on(async { timeout(time, future).await.is_ok() })
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
