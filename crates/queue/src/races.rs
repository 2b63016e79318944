//! Settling against the end of the hold, in as many orders as chance finds: before every step of the broker, any other task
//! may have its turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use forebay_core::delivery::{Delivery, DeliveryId, End, Outcome, Reason, Settled};
use forebay_core::error::Result;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{Broker, BrokerCapabilities, Held, Receive};
use forebay_core::ports::clock::{Run, Spawn, Work};
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_core::time::Instant;
use shuttle::future::{block_on, spawn, yield_now};

use crate::deliver::ReceiveOptions;
use crate::queues::Queues;
use crate::scripted::Scripted;
use crate::worker::{Failure, Worker, WorkerOptions};

const ORDERS: usize = 3_000;

/// A broker that lets others have their turn before every step.
struct Yielding(Arc<Scripted>);

impl Broker for Yielding {
    fn capabilities(&self) -> BrokerCapabilities {
        self.0.capabilities()
    }

    fn ensure<'a>(&'a self, settings: &'a QueueSettings) -> BoxFuture<'a, Result<()>> {
        self.0.ensure(settings)
    }

    fn publish<'a>(
        &'a self,
        queue: &'a QueueName,
        messages: Vec<Message>,
    ) -> BoxFuture<'a, Result<Vec<MessageId>>> {
        self.0.publish(queue, messages)
    }

    fn receive<'a>(&'a self, queue: &'a QueueName, receive: Receive) -> BoxFuture<'a, Result<Vec<Delivery>>> {
        Box::pin(async move {
            yield_now().await;
            self.0.receive(queue, receive).await
        })
    }

    fn settle<'a>(
        &'a self,
        queue: &'a QueueName,
        id: DeliveryId,
        outcome: Outcome,
        note: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Settled>> {
        Box::pin(async move {
            yield_now().await;
            let settled = self.0.settle(queue, id, outcome, note).await;
            yield_now().await;
            settled
        })
    }

    fn held<'a>(&'a self, queue: &'a QueueName, id: DeliveryId) -> BoxFuture<'a, Result<Option<Held>>> {
        Box::pin(async move {
            yield_now().await;
            self.0.held(queue, id).await
        })
    }

    fn extend<'a>(
        &'a self,
        queue: &'a QueueName,
        id: DeliveryId,
        hold: Duration,
    ) -> BoxFuture<'a, Result<Option<Instant>>> {
        Box::pin(async move {
            yield_now().await;
            self.0.extend(queue, id, hold).await
        })
    }

    fn expired(&self) -> BoxFuture<'_, Result<Vec<Delivery>>> {
        self.0.expired()
    }
}

/// Runs work among the tasks of the present order.
struct Turns;

impl Spawn for Turns {
    fn spawn(&self, work: Work) {
        if let Run::Task(task) = work.run {
            drop(spawn(task));
        }
    }
}

fn scene(attempt_max: u32) -> (Arc<Scripted>, Queues, QueueName) {
    let scripted = Scripted::new(attempt_max);
    let clock = Arc::new(scripted.clock.clone());
    let queues = Queues::new(Arc::new(Yielding(scripted.clone())), clock);
    (scripted, queues, QueueName::new("q").unwrap())
}

#[test]
fn of_all_who_end_a_delivery_one_does_and_the_others_are_told_that_it_was_not_theirs() {
    for end in [End::Acked, End::Failed, End::Rejected, End::Returned] {
        let expired_first = Arc::new(AtomicUsize::new(0));
        let counted = expired_first.clone();
        let order = move || {
            let (scripted, queues, queue) = scene(1);
            scripted.add(&["m"]);
            let held = block_on(queues.receive(&queue, ReceiveOptions::default())).unwrap().remove(0);
            let ended = [end, End::Expired].map(|end| {
                let (queues, queue, id) = (queues.clone(), queue.clone(), held.id);
                spawn(async move { queues.end(&queue, id, end, None).await.unwrap() })
            });
            let outcomes = ended.map(|task| block_on(task).unwrap());
            assert_eq!(outcomes.iter().flatten().count(), 1, "{outcomes:?}");
            let settled = scripted.state.lock().settled.clone();
            assert_eq!(settled.len(), 1);
            assert_eq!(Some(settled[0].1), outcomes.into_iter().flatten().next(), "and it is told as it was");
            let extended = block_on(queues.extend(&queue, held.id, Duration::from_secs(1))).unwrap();
            assert_eq!(extended, None, "nobody holds it any more");
            if outcomes[1] == Some(Outcome::DeadLetter(Reason::AttemptsSpent)) {
                counted.fetch_add(1, SeqCst);
            }
        };
        shuttle::check_random(order, ORDERS);
        let expired_first = expired_first.load(SeqCst);
        assert!((1..ORDERS).contains(&expired_first), "{end:?}: both must have won: {expired_first}");
    }
}

#[test]
fn a_worker_whose_holds_run_out_settles_nothing_twice_and_stops() {
    let late = Arc::new(AtomicUsize::new(0));
    let counted = late.clone();
    let order = move || {
        let (scripted, queues, queue) = scene(2);
        scripted.add(&["a", "b", "fails"]);
        let options = WorkerOptions { concurrency: 2, ..WorkerOptions::default() };
        let handler = async |delivery: Delivery| {
            yield_now().await;
            if delivery.message.id.as_str() == "fails" { Err(Failure::from("no luck")) } else { Ok(()) }
        };
        let handler = move |delivery| Box::pin(handler(delivery)) as BoxFuture<'static, _>;
        let (worker, work) = Worker::new(queues.clone(), queue, options, Arc::new(Turns), handler).unwrap();
        Turns.spawn(work);
        Turns.spawn(queues.expirer());
        let clock = scripted.clock.clone();
        let run_out = scripted.clone();
        let expire = spawn(async move {
            for _ in 0..3 {
                yield_now().await;
                clock.advance(Duration::from_secs(11));
                run_out.change(|state| state.expired = state.held.values().cloned().collect());
            }
        });
        block_on(async {
            yield_now().await;
            worker.stop().await;
            expire.await.unwrap();
        });
        scripted.change(|state| state.closed = true);
        let state = scripted.state.lock();
        // Every message was settled once for every time that it was taken, or waits to be.
        let names: Vec<_> = state.settled.iter().map(|(name, ..)| name.clone()).collect();
        assert!(
            names.iter().all(|name| names.iter().filter(|other| *other == name).count() == 1),
            "{names:?}"
        );
        assert_eq!(names.len() + state.ready.len() + state.held.len(), 3, "{names:?}");
        let ran_out = state
            .settled
            .iter()
            .filter(|(name, outcome, _)| name != "fails" && matches!(outcome, Outcome::RetryAt(_)));
        counted.fetch_add(ran_out.count(), SeqCst);
    };
    shuttle::check_random(order, ORDERS);
    assert!(late.load(SeqCst) > 0, "some hold must have run out under its handler");
}
