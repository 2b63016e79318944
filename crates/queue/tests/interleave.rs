//! A consumer or worker against the expirer, in every order that their calls on the broker can take, or in as many as chance
//! finds where these are too many.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use forebay_contract::clock::SimClock;
use forebay_contract::model_broker::{Event, ModelBroker};
use forebay_core::delivery::{Delivery, DeliveryId, End, Outcome, Settled};
use forebay_core::error::Result;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{Broker, BrokerCapabilities, Held, Receive};
use forebay_core::ports::clock::{Run, Spawn, Work};
use forebay_core::queue::{PARKED, QueueName, QueueSettings, RetryPolicy};
use forebay_core::time::Instant;
use forebay_queue::deliver::ReceiveOptions;
use forebay_queue::publish::Draft;
use forebay_queue::queues::Queues;
use forebay_queue::worker::{Failure, Worker, WorkerOptions};
use shuttle::future::{block_on, spawn, yield_now};
use shuttle::thread;

/// The model, with a point before and after each call at which another may come in. The rules share nothing but the broker, so
/// no other points matter.
struct Interleaved(Arc<ModelBroker>);

async fn between<T>(call: impl Future<Output = T>) -> T {
    yield_now().await;
    let output = call.await;
    yield_now().await;
    output
}

impl Broker for Interleaved {
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
        Box::pin(between(self.0.receive(queue, receive)))
    }

    fn settle<'a>(
        &'a self,
        queue: &'a QueueName,
        delivery: DeliveryId,
        outcome: Outcome,
        note: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Settled>> {
        Box::pin(between(self.0.settle(queue, delivery, outcome, note)))
    }

    fn held<'a>(&'a self, queue: &'a QueueName, delivery: DeliveryId) -> BoxFuture<'a, Result<Option<Held>>> {
        Box::pin(between(self.0.held(queue, delivery)))
    }

    fn extend<'a>(
        &'a self,
        queue: &'a QueueName,
        delivery: DeliveryId,
        hold: Duration,
    ) -> BoxFuture<'a, Result<Option<Instant>>> {
        Box::pin(between(self.0.extend(queue, delivery, hold)))
    }

    fn expired(&self) -> BoxFuture<'_, Result<Vec<Delivery>>> {
        Box::pin(between(self.0.expired()))
    }
}

/// Which of the two ended the hold, over all orders.
#[derive(Default)]
struct Winners {
    consumer: AtomicUsize,
    expirer: AtomicUsize,
}

/// One message whose hold has run out is settled by its consumer, who first tries to keep it if `extends`, while the
/// expirer settles it too.
fn race(end: End, extends: bool, winners: &Winners) {
    let clock = SimClock::new(1);
    let model = ModelBroker::new(Arc::new(clock.clone()));
    let queues = Queues::new(Arc::new(Interleaved(model.clone())), Arc::new(clock.clone()));
    let queue = QueueName::new("q").unwrap();
    let delivery = block_on(async {
        let settings = QueueSettings::new(queue.clone());
        queues.ensure(&settings).await.unwrap();
        queues.publish(&queue, vec![Draft::new("body")]).await.unwrap();
        queues.receive(&queue, ReceiveOptions::default()).await.unwrap().remove(0)
    });
    clock.set(delivery.held_until);

    let Run::Task(expirer) = queues.expirer().run else { panic!("the expirer is a task") };
    let expirer = thread::spawn(move || block_on(expirer));
    let (of, id) = (queue.clone(), delivery.id);
    let consumer = thread::spawn(move || {
        block_on(async {
            let kept = match extends {
                true => queues.extend(&of, id, Duration::from_secs(30)).await.unwrap().is_some(),
                false => false,
            };
            (kept, queues.end(&of, id, end, None).await.unwrap())
        })
    });
    let (kept, ended) = consumer.join().unwrap();
    // Asked without letting others in between.
    let unheld = Queues::new(model.clone(), Arc::new(clock));
    let extended = block_on(unheld.extend(&queue, delivery.id, Duration::from_secs(1))).unwrap();
    assert_eq!(extended, None, "nobody holds it any more");
    assert_eq!(block_on(unheld.end(&queue, delivery.id, end, None)).unwrap(), None);
    model.close();
    expirer.join().unwrap();

    let settled: Vec<(DeliveryId, Outcome)> = model
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Settled(id, _, outcome) => Some((id, outcome)),
            _ => None,
        })
        .collect();
    assert_eq!(settled.len(), 1, "the hold ends once");
    match ended {
        Some(outcome) => {
            winners.consumer.fetch_add(1, SeqCst);
            assert_eq!(settled, [(delivery.id, outcome)], "what the consumer was told is what happened");
        }
        None => {
            winners.expirer.fetch_add(1, SeqCst);
            assert!(!kept, "a hold that was prolonged in time is not ended by the expirer");
            assert!(matches!(settled[..], [(id, Outcome::RetryAt(_))] if id == delivery.id), "{settled:?}");
        }
    }
    let gone = matches!(settled[..], [(_, Outcome::Done | Outcome::DeadLetter(_))]);
    assert_eq!(model.messages(&queue).is_empty(), gone, "what is not over is there to be tried again");
}

/// Every order there is.
fn explore(end: End, extends: bool) {
    let winners = Arc::new(Winners::default());
    let of = winners.clone();
    shuttle::check_dfs(move || race(end, extends, &of), None);
    let (consumer, expirer) = (winners.consumer.load(SeqCst), winners.expirer.load(SeqCst));
    assert!(consumer > 0 && expirer > 0, "won by the consumer {consumer}, by the expirer {expirer}");
}

#[test]
fn an_ack_and_the_expirer_end_a_hold_once_in_every_order() {
    explore(End::Acked, false);
}

#[test]
fn a_failure_and_the_expirer_count_one_attempt_in_every_order() {
    explore(End::Failed, false);
}

#[test]
fn a_rejection_or_return_and_the_expirer_end_a_hold_once_in_every_order() {
    explore(End::Rejected, false);
    explore(End::Returned, false);
}

#[test]
fn a_hold_that_was_prolonged_in_time_is_not_expired_in_any_order() {
    explore(End::Acked, true);
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

const HOLD: Duration = Duration::from_secs(10);

/// A worker on three messages, one of which fails, while time passes in leaps that are longer than their holds. Returns how
/// many holds ran out under a handler that works.
fn work_late() -> usize {
    let clock = SimClock::new(2);
    let model = ModelBroker::new(Arc::new(clock.clone()));
    let queues = Queues::new(Arc::new(Interleaved(model.clone())), Arc::new(clock.clone()));
    let queue = QueueName::new("q").unwrap();
    let names = ["a", "b", "fails"];
    block_on(async {
        let retry = RetryPolicy { attempt_max: 2, ..RetryPolicy::default() };
        let settings = QueueSettings { hold: HOLD, retry, ..QueueSettings::new(queue.clone()) };
        queues.ensure(&settings).await.unwrap();
        let draft = |name| Draft { id: Some(MessageId::given(name).unwrap()), ..Draft::new("body") };
        queues.publish(&queue, names.map(draft).into()).await.unwrap();
    });
    let handler = async |delivery: Delivery| {
        yield_now().await;
        if delivery.message.id.as_str() == "fails" { Err(Failure::from("no luck")) } else { Ok(()) }
    };
    let handler = move |delivery| Box::pin(handler(delivery)) as BoxFuture<'static, _>;
    let options = WorkerOptions { concurrency: 2, ..WorkerOptions::default() };
    let (worker, work) =
        Worker::new(queues.clone(), queue.clone(), options, Arc::new(Turns), handler).unwrap();
    Turns.spawn(work);
    Turns.spawn(queues.expirer());
    let leaps = spawn(async move {
        for _ in 0..3 {
            yield_now().await;
            clock.advance(HOLD + Duration::from_secs(1));
        }
    });
    block_on(async {
        yield_now().await;
        worker.stop().await;
        leaps.await.unwrap();
    });
    model.close();

    let (mut held, mut done, mut late) = (BTreeMap::new(), Vec::new(), 0);
    for event in model.events() {
        match event {
            Event::Published(..) => {}
            Event::Delivered(id, message, _) => {
                assert!(!done.contains(&message), "{message:?} was done");
                held.insert(id, message);
            }
            Event::Settled(id, message, outcome) => {
                assert_eq!(held.remove(&id), Some(message.clone()), "it was settled twice, or never held");
                late += usize::from(message.as_str() != "fails" && matches!(outcome, Outcome::RetryAt(_)));
                if outcome == Outcome::Done {
                    done.push(message);
                }
            }
        }
    }
    let left = model.messages(&queue);
    assert_eq!(done.len() + left.len() + model.messages(&parked()).len(), names.len(), "{done:?} {left:?}");
    late
}

fn parked() -> QueueName {
    QueueName::new(PARKED).unwrap()
}

#[test]
fn a_worker_whose_holds_run_out_settles_nothing_twice_and_stops() {
    let late = Arc::new(AtomicUsize::new(0));
    let counted = late.clone();
    let order = move || {
        counted.fetch_add(work_late(), SeqCst);
    };
    shuttle::check_random(order, 3_000);
    assert!(late.load(SeqCst) > 0, "some hold must have run out under its handler");
}
