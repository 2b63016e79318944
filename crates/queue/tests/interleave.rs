//! A consumer's settle against the expirer, in every order that their calls on the broker can take.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

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
use forebay_core::ports::clock::Run;
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_core::time::Instant;
use forebay_queue::deliver::ReceiveOptions;
use forebay_queue::publish::Draft;
use forebay_queue::queues::Queues;
use shuttle::future::{block_on, yield_now};
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
