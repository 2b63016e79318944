//! What every test stands on: a process with a clock, and brokers with their works.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use forebay_contract::ground::Ground as Process;
use forebay_runtime::clock::TokioClock;
use forebay_sqs::broker::SqsBroker;
use forebay_sqs::settings::SqsSettings;
use tokio::task::JoinHandle;

/// No call of a test takes longer.
const CALL_MAX: Duration = Duration::from_secs(60);

/// A process, as far as servers can tell.
pub(crate) struct Ground {
    process: Process,
    pub(crate) clock: Arc<TokioClock>,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let process = Process::new(CALL_MAX);
        let clock = process.run(async { Arc::new(TokioClock::new()) });
        Self { process, clock }
    }

    pub(crate) fn broker(&self, url: &str) -> (SqsBroker, Vec<JoinHandle<()>>) {
        let opened = SqsBroker::open(SqsSettings::parse(url).unwrap(), self.clock.clone());
        (opened.broker, self.process.spawn(opened.work))
    }
}

impl Deref for Ground {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}
