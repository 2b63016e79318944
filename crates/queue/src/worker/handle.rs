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
///
/// ```
/// use forebay_core::delivery::Delivery;
/// use forebay_core::ports::clock::Spawn;
/// use forebay_queue::worker::{Worker, WorkerOptions};
/// # use std::sync::Arc;
/// # use forebay_contract::{clock::SimClock, model_broker::ModelBroker, runner::Runner};
/// # use forebay_core::queue::{QueueName, QueueSettings};
/// # use forebay_queue::{publish::Draft, queues::Queues};
/// # let (runner, clock) = (Runner::new(), Arc::new(SimClock::new(1)));
/// # let queues = Queues::new(ModelBroker::new(clock.clone()), clock);
/// # let (spawn, orders) = (runner.clone(), QueueName::new("orders")?);
/// # runner.block_on(async {
/// # queues.ensure(&QueueSettings::new(orders.clone())).await?;
/// let (queues, options) = (queues.clone(), WorkerOptions::default());
/// let handler = |order: Delivery| async move { Ok(drop(order)) };
/// let (worker, work) = Worker::new(queues, orders, options, spawn.clone(), handler)?;
/// spawn.spawn(work);
/// worker.stop().await;
/// # Ok::<(), forebay_core::error::Error>(())
/// # })?;
/// # Ok::<(), forebay_core::error::Error>(())
/// ```
#[derive(Debug)]
pub struct Worker {
    control: Arc<Control>,
}

impl Worker {
    /// A worker on `queue`, and the work that must be run for it to work; handlers run on `spawn`. The work ends
    /// when the worker was stopped or the broker closed, and its last handler is done; through an outage it asks again,
    /// with pauses. A handler that panics has failed; it harms nobody.
    ///
    /// ```
    /// use forebay_core::delivery::Delivery;
    /// use forebay_core::ports::clock::Spawn;
    /// use forebay_queue::worker::{Worker, WorkerOptions};
    /// # use std::sync::Arc;
    /// # use forebay_contract::{clock::SimClock, model_broker::ModelBroker, runner::Runner};
    /// # use forebay_core::queue::{QueueName, QueueSettings};
    /// # use forebay_queue::{publish::Draft, queues::Queues};
    /// # let (runner, clock) = (Runner::new(), Arc::new(SimClock::new(1)));
    /// # let queues = Queues::new(ModelBroker::new(clock.clone()), clock);
    /// # let (spawn, orders) = (runner.clone(), QueueName::new("orders")?);
    /// # runner.block_on(async {
    /// # queues.ensure(&QueueSettings::new(orders.clone())).await?;
    /// let (queues, options) = (queues.clone(), WorkerOptions::default());
    /// let handler = |order: Delivery| async move { Ok(drop(order)) };
    /// let (worker, work) = Worker::new(queues, orders, options, spawn.clone(), handler)?;
    /// spawn.spawn(work);
    /// # worker.stop().await;
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # })?;
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
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
    ///
    /// ```
    /// use forebay_core::delivery::Delivery;
    /// use forebay_core::ports::clock::Spawn;
    /// use forebay_queue::worker::{Worker, WorkerOptions};
    /// # use std::sync::Arc;
    /// # use forebay_contract::{clock::SimClock, model_broker::ModelBroker, runner::Runner};
    /// # use forebay_core::queue::{QueueName, QueueSettings};
    /// # use forebay_queue::{publish::Draft, queues::Queues};
    /// # let (runner, clock) = (Runner::new(), Arc::new(SimClock::new(1)));
    /// # let queues = Queues::new(ModelBroker::new(clock.clone()), clock);
    /// # let (spawn, orders) = (runner.clone(), QueueName::new("orders")?);
    /// # runner.block_on(async {
    /// # queues.ensure(&QueueSettings::new(orders.clone())).await?;
    /// let (queues, options) = (queues.clone(), WorkerOptions::default());
    /// let handler = |order: Delivery| async move { Ok(drop(order)) };
    /// let (worker, work) = Worker::new(queues, orders, options, spawn.clone(), handler)?;
    /// spawn.spawn(work);
    /// worker.pause();
    /// # worker.stop().await;
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # })?;
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn pause(&self) {
        self.control.change(|state| state.paused = true);
    }

    /// Takes messages again.
    ///
    /// ```
    /// use forebay_core::delivery::Delivery;
    /// use forebay_core::ports::clock::Spawn;
    /// use forebay_queue::worker::{Worker, WorkerOptions};
    /// # use std::sync::Arc;
    /// # use forebay_contract::{clock::SimClock, model_broker::ModelBroker, runner::Runner};
    /// # use forebay_core::queue::{QueueName, QueueSettings};
    /// # use forebay_queue::{publish::Draft, queues::Queues};
    /// # let (runner, clock) = (Runner::new(), Arc::new(SimClock::new(1)));
    /// # let queues = Queues::new(ModelBroker::new(clock.clone()), clock);
    /// # let (spawn, orders) = (runner.clone(), QueueName::new("orders")?);
    /// # runner.block_on(async {
    /// # queues.ensure(&QueueSettings::new(orders.clone())).await?;
    /// let (queues, options) = (queues.clone(), WorkerOptions::default());
    /// let handler = |order: Delivery| async move { Ok(drop(order)) };
    /// let (worker, work) = Worker::new(queues, orders, options, spawn.clone(), handler)?;
    /// spawn.spawn(work);
    /// worker.pause();
    /// worker.resume();
    /// # worker.stop().await;
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # })?;
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn resume(&self) {
        self.control.change(|state| state.paused = false);
    }

    /// Takes no more messages for good, and returns once what runs is finished and settled and what was taken and not
    /// begun is given back. Nothing is lost when the future is dropped before: the worker stops all the same, and only
    /// the waiting ends. A handler must not wait for its own worker.
    ///
    /// ```
    /// use forebay_core::delivery::Delivery;
    /// use forebay_core::ports::clock::Spawn;
    /// use forebay_queue::worker::{Worker, WorkerOptions};
    /// # use std::sync::Arc;
    /// # use forebay_contract::{clock::SimClock, model_broker::ModelBroker, runner::Runner};
    /// # use forebay_core::queue::{QueueName, QueueSettings};
    /// # use forebay_queue::{publish::Draft, queues::Queues};
    /// # let (runner, clock) = (Runner::new(), Arc::new(SimClock::new(1)));
    /// # let queues = Queues::new(ModelBroker::new(clock.clone()), clock);
    /// # let (spawn, orders) = (runner.clone(), QueueName::new("orders")?);
    /// # runner.block_on(async {
    /// # queues.ensure(&QueueSettings::new(orders.clone())).await?;
    /// let (queues, options) = (queues.clone(), WorkerOptions::default());
    /// let handler = |order: Delivery| async move { Ok(drop(order)) };
    /// let (worker, work) = Worker::new(queues, orders, options, spawn.clone(), handler)?;
    /// spawn.spawn(work);
    /// worker.stop().await;
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # })?;
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub async fn stop(self) {
        self.control.change(|state| state.stopped = true);
        self.control.over().await;
    }

    /// Handlers that are running now.
    ///
    /// ```
    /// use forebay_core::delivery::Delivery;
    /// use forebay_core::ports::clock::Spawn;
    /// use forebay_queue::worker::{Worker, WorkerOptions};
    /// # use std::sync::Arc;
    /// # use forebay_contract::{clock::SimClock, model_broker::ModelBroker, runner::Runner};
    /// # use forebay_core::queue::{QueueName, QueueSettings};
    /// # use forebay_queue::{publish::Draft, queues::Queues};
    /// # let (runner, clock) = (Runner::new(), Arc::new(SimClock::new(1)));
    /// # let queues = Queues::new(ModelBroker::new(clock.clone()), clock);
    /// # let (spawn, orders) = (runner.clone(), QueueName::new("orders")?);
    /// # runner.block_on(async {
    /// # queues.ensure(&QueueSettings::new(orders.clone())).await?;
    /// let (queues, options) = (queues.clone(), WorkerOptions::default());
    /// let handler = |order: Delivery| async move { Ok(drop(order)) };
    /// let (worker, work) = Worker::new(queues, orders, options, spawn.clone(), handler)?;
    /// spawn.spawn(work);
    /// assert_eq!(worker.running(), 0);
    /// # worker.stop().await;
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # })?;
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn running(&self) -> usize {
        self.control.running()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.control.change(|state| state.stopped = true);
    }
}
