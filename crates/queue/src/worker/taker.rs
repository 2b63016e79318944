//! Takes as many messages as may begin, and starts a handler for each.

use std::sync::Arc;

use forebay_core::delivery::{Delivery, End as DeliveryEnd};
use forebay_core::error::Kind;
use forebay_core::limits;
use forebay_core::ports::clock::{Run, Spawn, Work};
use forebay_core::queue::QueueName;

use super::control::{Control, End, State};
use super::job::Job;
use super::options::{Failure, WorkerOptions};
use super::pace::{Allowed, Pace};
use crate::deliver::ReceiveOptions;
use crate::pauses::Pauses;
use crate::queues::Queues;
use crate::race::{First, race};

pub(super) struct Taker<H> {
    pub(super) queues: Queues,
    pub(super) queue: QueueName,
    pub(super) options: WorkerOptions,
    pub(super) spawn: Arc<dyn Spawn>,
    pub(super) handler: Arc<H>,
    pub(super) control: Arc<Control>,
    pub(super) end: End,
}

enum Next {
    Stop,
    Take(usize),
}

impl<H, F> Taker<H>
where
    H: Fn(Delivery) -> F + Send + Sync + 'static,
    F: Future<Output = std::result::Result<(), Failure>> + Send + 'static,
{
    pub(super) async fn run(self) {
        let concurrency = self.options.concurrency;
        let next = |state: &State| match state {
            State { stopped: true, .. } => Some(Next::Stop),
            State { paused: false, running, .. } if *running < concurrency => {
                Some(Next::Take(concurrency - running))
            }
            _ => None,
        };
        let clock = &self.queues.clock;
        let mut pace = Pace::new(self.options.rate);
        let mut pauses = Pauses::default();
        while let Next::Take(free) = self.control.until(next).await {
            let halted = || self.control.until(|state| (state.stopped || state.paused).then_some(()));
            let allowed = match pace.allowed(clock.now()) {
                Allowed::Now(allowed) => allowed,
                Allowed::At(at) => {
                    race(halted(), clock.sleep_until(at)).await;
                    continue;
                }
            };
            let options = ReceiveOptions {
                count_max: free.min(allowed),
                hold: self.options.hold,
                wait: limits::RECEIVE_WAIT_MAX,
            };
            match race(halted(), self.queues.receive(&self.queue, options)).await {
                First::Left(()) => {}
                First::Right(Ok(deliveries)) => {
                    pauses.end();
                    self.begin(deliveries, &mut pace).await;
                }
                First::Right(Err(error)) if error.kind() == Kind::Closed => break,
                First::Right(Err(_)) => {
                    race(halted(), clock.sleep_until(clock.now() + pauses.after_refusal())).await;
                }
            }
        }
        self.control.until(|state| (state.running == 0).then_some(())).await;
        // Whoever waits for the end may count on everything of the handler being dropped.
        let Self { handler, end, .. } = self;
        drop(handler);
        drop(end);
    }

    /// Runs each delivery, or gives it back when a halt came between.
    async fn begin(&self, deliveries: Vec<Delivery>, pace: &mut Pace) {
        for delivery in deliveries {
            match self.control.begin() {
                Some(running) => {
                    let now = self.queues.clock.now();
                    pace.begin(now);
                    let job = Job {
                        queues: self.queues.clone(),
                        queue: delivery.queue.clone(),
                        id: delivery.id,
                        hold: delivery.held_until.since(now),
                        time_limit: self.options.time_limit,
                    };
                    let handler = self.handler.clone();
                    let run = async move {
                        let _running = running;
                        // The handler is called inside, so that a panic on its way to a future is caught as well.
                        job.run(async move { handler(delivery).await }).await;
                    };
                    self.spawn.spawn(Work { name: "queue handler", run: Run::Task(Box::pin(run)) });
                }
                // Should this be refused, the hold runs out and costs an attempt, but nothing is lost.
                None => {
                    drop(self.queues.settle(&delivery.queue, delivery.id, DeliveryEnd::Returned, None).await);
                }
            }
        }
    }
}
