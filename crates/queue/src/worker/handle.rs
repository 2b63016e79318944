//! A worker: takes messages, runs the user's handler on a bounded number of them at a time, and settles each.

use std::sync::Arc;

use forebay_core::delivery::Delivery;
use forebay_core::error::Result;
use forebay_core::ports::clock::{Run, Spawn, Work};
use forebay_core::queue::QueueName;

use super::control::{Control, End};
use super::options::{Failure, WorkerOptions};
use super::taker::Taker;
use crate::queues::Queues;

/// The handle of a worker. Dropping it stops the worker without waiting, [`stop`](Self::stop) also waits.
#[derive(Debug)]
pub struct Worker {
    control: Arc<Control>,
}

impl Worker {
    /// A worker on `queue`, and the work that must be run for it to work; handlers run on `spawn`. The work ends
    /// when the worker was stopped or the broker closed, and its last handler is done; through an outage it asks again,
    /// with pauses. A handler that panics has failed; it harms nobody.
    pub fn new<H, F>(
        queues: Queues,
        queue: QueueName,
        options: WorkerOptions,
        spawn: Arc<dyn Spawn>,
        handler: H,
    ) -> Result<(Self, Work)>
    where
        H: Fn(Delivery) -> F + Send + Sync + 'static,
        F: Future<Output = std::result::Result<(), Failure>> + Send + 'static,
    {
        options.check(&queue)?;
        let control = Arc::new(Control::default());
        let end = End(control.clone());
        let handler = Arc::new(handler);
        let taker = Taker { queues, queue, options, spawn, handler, control: control.clone(), end };
        let work = Work { name: "queue worker", run: Run::Task(Box::pin(taker.run())) };
        Ok((Self { control }, work))
    }

    /// Takes no more messages until [`resume`](Self::resume); what runs goes on.
    pub fn pause(&self) {
        self.control.change(|state| state.paused = true);
    }

    /// Takes messages again.
    pub fn resume(&self) {
        self.control.change(|state| state.paused = false);
    }

    /// Takes no more messages for good, and returns once what runs is finished and settled and what was taken and not
    /// begun is given back. Nothing is lost when the future is dropped before: the worker stops all the same, and only
    /// the waiting ends. A handler must not wait for its own worker.
    pub async fn stop(self) {
        self.control.change(|state| state.stopped = true);
        self.control.over().await;
    }

    /// Handlers that are running now.
    pub fn running(&self) -> usize {
        self.control.running()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.control.change(|state| state.stopped = true);
    }
}
