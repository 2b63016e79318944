//! The rules over a broker that fails, is slow, loses holds and repeats itself: nothing is lost, nothing happens after an end,
//! nothing hangs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use forebay_contract::clock::SimClock;
use forebay_contract::model_broker::{Event, ModelBroker};
use forebay_contract::random::Random;
use forebay_contract::runner::Runner;
use forebay_contract::saboteur::broker::BrokerSaboteur;
use forebay_contract::torture::rounds;
use forebay_core::delivery::{Delivery, DeliveryId, End, Outcome};
use forebay_core::error::Kind;
use forebay_core::message::MessageId;
use forebay_core::ports::broker::Broker;
use forebay_core::ports::clock::{Clock, Run, Spawn, Work};
use forebay_core::queue::{Backoff, PARKED, QueueName, QueueSettings, RetryPolicy};
use forebay_queue::publish::Draft;
use forebay_queue::queues::Queues;
use forebay_queue::worker::{Failure, Worker, WorkerOptions};
use parking_lot::Mutex;

const SEEDS: u64 = 200;
const MESSAGES: usize = 12;
const HOLD: Duration = Duration::from_secs(6);

struct World {
    runner: Arc<Runner>,
    clock: SimClock,
    model: Arc<ModelBroker>,
    saboteur: Arc<BrokerSaboteur>,
    queues: Queues,
    queue: QueueName,
    confirmed: Vec<MessageId>,
}

impl World {
    fn new(seed: u64) -> Self {
        let (runner, clock) = (Runner::new(), SimClock::new(seed));
        let model = ModelBroker::new(Arc::new(clock.clone()));
        let saboteur = Arc::new(BrokerSaboteur::new(model.clone(), Arc::new(clock.clone()), seed));
        let queues = Queues::new(saboteur.clone(), Arc::new(clock.clone()));
        let queue = QueueName::new("q").unwrap();
        let (first, longest) = (Duration::from_millis(500), Duration::from_secs(4));
        let retry = RetryPolicy { attempt_max: 4, backoff: Backoff { first, longest, jitter: 0.5 } };
        let settings = QueueSettings { retry, hold: HOLD, ..QueueSettings::new(queue.clone()) };
        runner.block_on(model.ensure(&settings)).unwrap();
        runner.spawn(queues.expirer());
        Self { runner, clock, model, saboteur, queues, queue, confirmed: Vec::new() }
    }

    /// A worker whose handlers take their time, fail, reject and panic, by the seed.
    fn work(&self, seed: u64) -> Worker {
        let (clock, random) = (self.clock.clone(), Arc::new(Mutex::new(Random::new(seed))));
        let handler = move |_: Delivery| {
            let (clock, random) = (clock.clone(), random.clone());
            async move {
                let (end, seconds) = {
                    let mut random = random.lock();
                    (random.below(8), random.below(15))
                };
                clock.sleep_until(clock.now() + Duration::from_secs(seconds)).await;
                match end {
                    0 => Err(Failure::reject("never")),
                    1 | 2 => Err("not now".into()),
                    // Quietly: the panic's own message would only fill the screen.
                    3 => std::panic::resume_unwind(Box::new("a handler that panics")),
                    _ => Ok(()),
                }
            }
        };
        let options = WorkerOptions { concurrency: 3, hold: Some(HOLD), ..WorkerOptions::default() };
        let (queues, queue) = (self.queues.clone(), self.queue.clone());
        let (worker, work) = Worker::new(queues, queue, options, self.runner.clone(), handler).unwrap();
        self.runner.spawn(work);
        worker
    }

    /// Publishes a message, whose publisher may be told that it failed.
    fn publish(&mut self, number: usize) {
        let id = MessageId::given(&format!("message {number}")).unwrap();
        let draft = Draft { id: Some(id), ..Draft::new("body") };
        let (queues, queue) = (self.queues.clone(), self.queue.clone());
        let answer = Arc::new(Mutex::new(None));
        let put = answer.clone();
        let publish = async move { *put.lock() = Some(queues.publish(&queue, vec![draft]).await) };
        self.runner.spawn(Work { name: "publisher", run: Run::Task(Box::pin(publish)) });
        self.runner.pass(&self.clock, Duration::from_secs(3));
        if let Some(Ok(ids)) = answer.lock().take() {
            self.confirmed.extend(ids);
        }
    }

    /// Everything ends within an hour, though nobody helps.
    fn end(&self, worker: Worker) {
        self.saboteur.calm();
        self.runner.pass(&self.clock, Duration::from_secs(3600));
        drop(worker);
        self.model.close();
        self.runner.pass(&self.clock, Duration::from_secs(60));
        self.runner.join();
    }
}

/// Every hold ends once, and what ended for good is never handed out again.
fn assert_ends_hold(events: &[Event]) {
    let mut over: BTreeSet<u64> = BTreeSet::new();
    let mut held: BTreeMap<DeliveryId, &MessageId> = BTreeMap::new();
    for event in events {
        match event {
            Event::Published(..) => {}
            Event::Delivered(id, message, attempt) => {
                assert!(!over.contains(&id.position), "{message:?} was over");
                assert!((1..=4).contains(attempt), "{message:?} has attempt {attempt}");
                assert!(held.insert(*id, message).is_none(), "{message:?} was handed out twice under one id");
            }
            Event::Settled(id, message, outcome) => {
                assert_eq!(held.remove(id), Some(message), "it was not held");
                if matches!(outcome, Outcome::Done | Outcome::DeadLetter(_)) {
                    over.insert(id.position);
                }
            }
        }
    }
    assert!(held.is_empty(), "somebody holds {held:?} for ever");
}

#[test]
fn nothing_confirmed_is_lost_and_nothing_happens_after_an_end() {
    let parked_queue = QueueName::new(PARKED).unwrap();
    let (mut done_in_all, mut parked_in_all, mut retried) = (0, 0, 0);
    for seed in 0..rounds(SEEDS) {
        let mut world = World::new(seed);
        let worker = world.work(seed);
        (0..MESSAGES).for_each(|number| world.publish(number));
        world.end(worker);
        let events = world.model.events();
        assert_ends_hold(&events);
        let mut done = Vec::new();
        for event in &events {
            match event {
                Event::Settled(_, message, Outcome::Done) => done.push(message.clone()),
                Event::Settled(_, _, Outcome::RetryAt(_)) => retried += 1,
                _ => {}
            }
        }
        let parked = world.model.messages(&parked_queue);
        for message in &world.confirmed {
            assert!(done.contains(message) || parked.contains(message), "seed {seed}: {message:?} is lost");
        }
        assert!(world.model.messages(&world.queue).is_empty(), "seed {seed}: something is left");
        done_in_all += done.len();
        parked_in_all += parked.len();
    }
    assert!(done_in_all > 0 && parked_in_all > 0 && retried > 0, "{done_in_all} {parked_in_all} {retried}");
}

#[test]
fn a_poisoned_broker_confirms_nothing_and_keeps_nobody_from_ending() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let worker = world.work(seed);
        (0..MESSAGES).for_each(|number| world.publish(number));
        world.saboteur.poison();
        let settled = |world: &World| {
            world.model.events().iter().filter(|event| matches!(event, Event::Settled(..))).count()
        };
        // What was under way when it was poisoned may still come through.
        world.runner.pass(&world.clock, Duration::from_secs(10));
        let before = settled(&world);
        let refused = world.queues.publish(&world.queue, vec![Draft::new("body")]);
        assert_eq!(world.runner.block_on(refused).unwrap_err().kind(), Kind::Poisoned);
        let unheld = DeliveryId { position: 1, token: 1 };
        let late = world.queues.settle(&world.queue, unheld, End::Acked, None);
        assert_eq!(world.runner.block_on(late).unwrap_err().kind(), Kind::Poisoned);
        world.runner.pass(&world.clock, Duration::from_secs(600));
        assert_eq!(settled(&world), before);
        assert_eq!(worker.running(), 0, "seed {seed}: a handler hangs");
        drop(worker);
        world.runner.run_until_idle();
        // The expirer asks a poisoned broker for ever, with a pause between.
        world.runner.abandon();
    }
}
