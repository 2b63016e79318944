//! The worker's promises, with a scripted broker and in simulated time.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Poll, Waker};
use std::time::Duration;

use forebay_contract::runner::Runner;
use forebay_core::delivery::Delivery;
use forebay_core::error::Kind;
use forebay_core::limits;
use forebay_core::ports::clock::{Spawn, Work};
use forebay_core::queue::QueueName;
use parking_lot::Mutex;

use super::{Failure, Rate, Worker, WorkerOptions};
use crate::scripted::Scripted;

/// A worker whose handlers wait until their message is let go, and then do as its name says.
struct Scene {
    runner: Arc<Runner>,
    broker: Arc<Scripted>,
    worker: Option<Worker>,
    gate: Arc<Gate>,
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("as its name says");
    }
}

#[derive(Default)]
struct Gate {
    open: Mutex<(Vec<String>, Vec<Waker>)>,
    begun: AtomicUsize,
}

impl Gate {
    async fn wait(&self, name: &str) {
        self.begun.fetch_add(1, SeqCst);
        poll_fn(|context| {
            let mut open = self.open.lock();
            if open.0.iter().any(|opened| opened == name) {
                return Poll::Ready(());
            }
            open.1.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Scene {
    fn new(concurrency: usize) -> Self {
        let hold = Some(Duration::from_secs(30));
        Self::with(WorkerOptions { concurrency, hold, ..WorkerOptions::default() })
    }

    fn with(options: WorkerOptions) -> Self {
        let (runner, broker, gate) = (Runner::new(), Scripted::new(3), Arc::new(Gate::default()));
        let handler_gate = gate.clone();
        let handler = move |delivery: Delivery| {
            let gate = handler_gate.clone();
            let name = delivery.message.id.as_str().to_owned();
            assert!(name != "panics at once", "as its name says");
            async move {
                let _guard = (name == "panics when dropped").then(|| PanicsWhenDropped);
                gate.wait(&name).await;
                match &*name {
                    "fails" => Err("no luck".into()),
                    "is refused" => Err(Failure::reject("never")),
                    "panics" => panic!("as its name says"),
                    _ => Ok(()),
                }
            }
        };
        let queue = QueueName::new("q").unwrap();
        let (worker, work) = Worker::new(broker.queues(), queue, options, runner.clone(), handler).unwrap();
        runner.spawn(work);
        Self { runner, broker, worker: Some(worker), gate }
    }

    fn add(&self, names: &[&str]) {
        self.broker.add(names);
        self.runner.run_until_idle();
    }

    fn let_go(&self, name: &str) {
        let mut open = self.gate.open.lock();
        open.0.push(name.to_owned());
        open.1.drain(..).for_each(Waker::wake);
        drop(open);
        self.runner.run_until_idle();
    }

    fn begun(&self) -> usize {
        self.gate.begun.load(SeqCst)
    }

    fn worker(&self) -> &Worker {
        self.worker.as_ref().unwrap()
    }
}

#[test]
fn no_more_handlers_run_than_asked_for_and_no_more_messages_are_taken() {
    let scene = Scene::new(2);
    scene.add(&["a", "b", "c"]);
    assert_eq!((scene.begun(), scene.worker().running()), (2, 2));
    assert_eq!(scene.broker.state.lock().ready.len(), 1);
    scene.let_go("b");
    assert_eq!((scene.begun(), scene.worker().running()), (3, 2));
    assert_eq!(scene.broker.settled(), ["b done"]);
}

#[test]
fn every_way_a_handler_ends_is_settled_and_a_panic_is_a_failure() {
    let scene = Scene::new(5);
    let names = ["works", "fails", "is refused", "panics", "panics at once"];
    scene.add(&names);
    names.iter().for_each(|name| scene.let_go(name));
    let mut settled = scene.broker.settled();
    settled.sort();
    assert_eq!(
        settled,
        ["fails retry", "is refused rejected", "panics at once retry", "panics retry", "works done"]
    );
    let state = scene.broker.state.lock();
    let note = |name: &str| state.settled.iter().find(|(id, ..)| id == name).unwrap().2.clone();
    assert_eq!(note("fails").as_deref(), Some("no luck"));
    assert_eq!(note("is refused").as_deref(), Some("never"));
    assert_eq!(note("panics").as_deref(), Some("the handler panicked"));
    drop(state);
    assert_eq!(scene.worker().running(), 0);
    scene.add(&["after the panic"]);
    assert_eq!(scene.worker().running(), 1);
}

#[test]
fn a_long_handler_keeps_its_hold_by_a_heartbeat_at_every_third_of_it() {
    let scene = Scene::new(1);
    let start = scene.broker.queues().clock.now();
    scene.add(&["long"]);
    scene.runner.pass(&scene.broker.clock, Duration::from_secs(35));
    let after = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(scene.broker.state.lock().extended, [after(40), after(50), after(60)]);
    scene.let_go("long");
    scene.runner.pass(&scene.broker.clock, Duration::from_secs(60));
    assert_eq!(scene.broker.state.lock().extended.len(), 3, "no heartbeat after the end");
}

#[test]
fn a_handler_whose_hold_is_lost_is_not_cut_off_and_settles_nothing() {
    let scene = Scene::new(1);
    scene.add(&["slow"]);
    scene.broker.state.lock().held.clear();
    scene.runner.pass(&scene.broker.clock, Duration::from_secs(60));
    assert_eq!(scene.worker().running(), 1);
    scene.let_go("slow");
    assert_eq!(scene.worker().running(), 0);
    assert!(scene.broker.settled().is_empty());
}

#[test]
fn a_paused_worker_takes_nothing_and_goes_on_when_resumed() {
    let scene = Scene::new(2);
    scene.add(&["a"]);
    scene.worker().pause();
    scene.let_go("a");
    scene.add(&["b"]);
    assert_eq!((scene.begun(), scene.broker.state.lock().ready.len()), (1, 1));
    assert_eq!(scene.broker.settled(), ["a done"], "what ran was finished");
    scene.worker().resume();
    scene.runner.run_until_idle();
    assert_eq!(scene.begun(), 2);
}

#[test]
fn a_stop_finishes_what_runs_takes_nothing_more_and_ends_the_work() {
    let mut scene = Scene::new(2);
    scene.add(&["a"]);
    scene.worker = None;
    scene.add(&["b"]);
    assert_eq!((scene.begun(), scene.broker.state.lock().ready.len()), (1, 1));
    scene.let_go("a");
    assert_eq!(scene.broker.settled(), ["a done"]);
    scene.runner.join();
}

#[test]
fn what_was_received_and_not_begun_when_the_stop_came_is_returned() {
    /// Stops the worker as soon as its first handler is to run.
    struct StopAtFirst(Arc<Runner>, Mutex<Option<Worker>>);
    impl Spawn for StopAtFirst {
        fn spawn(&self, work: Work) {
            drop(self.1.lock().take());
            self.0.spawn(work);
        }
    }
    let (runner, broker) = (Runner::new(), Scripted::new(3));
    let spawn = Arc::new(StopAtFirst(runner.clone(), Mutex::default()));
    let options = WorkerOptions { concurrency: 3, ..WorkerOptions::default() };
    let queue = QueueName::new("q").unwrap();
    let (worker, work) =
        Worker::new(broker.queues(), queue, options, spawn.clone(), async |_| Ok(())).unwrap();
    *spawn.1.lock() = Some(worker);
    broker.add(&["a", "b", "c"]);
    runner.spawn(work);
    runner.join();
    let mut settled = broker.settled();
    settled.sort();
    assert_eq!(settled, ["a done", "b return", "c return"]);
}

#[test]
fn a_refused_settle_is_tried_again_within_its_bound() {
    let scene = Scene::new(1);
    for (name, refusals, settled) in
        [("a", 1, true), ("b", limits::SETTLE_TRIES_MAX - 1, true), ("c", limits::SETTLE_TRIES_MAX, false)]
    {
        scene.add(&[name]);
        let refuse = std::iter::repeat_n(Kind::Unavailable, refusals as usize);
        scene.broker.state.lock().refuse.extend(refuse);
        scene.let_go(name);
        scene.runner.pass(&scene.broker.clock, limits::BROKER_PAUSE * limits::SETTLE_TRIES_MAX);
        assert_eq!(scene.broker.settled().contains(&format!("{name} done")), settled, "{name}");
        assert_eq!(scene.worker().running(), 0);
    }
}

#[test]
fn a_handler_that_runs_out_of_time_is_dropped_and_has_failed() {
    let time_limit = Some(Duration::from_secs(40));
    let scene = Scene::with(WorkerOptions { concurrency: 2, time_limit, ..WorkerOptions::default() });
    scene.add(&["slow", "panics when dropped"]);
    scene.runner.pass(&scene.broker.clock, Duration::from_millis(39_999));
    assert_eq!(scene.worker().running(), 2);
    assert!(scene.broker.settled().is_empty());
    scene.runner.pass(&scene.broker.clock, Duration::from_millis(1));
    assert_eq!(scene.worker().running(), 0);
    let mut settled = scene.broker.settled();
    settled.sort();
    assert_eq!(settled, ["panics when dropped retry", "slow retry"]);
    let notes: Vec<_> = scene.broker.state.lock().settled.iter().filter_map(|one| one.2.clone()).collect();
    assert!(notes.contains(&"the handler ran out of time".to_owned()), "{notes:?}");
}

#[test]
fn a_handler_that_ends_in_time_is_not_touched_by_the_limit() {
    let time_limit = Some(Duration::from_secs(40));
    let scene = Scene::with(WorkerOptions { time_limit, ..WorkerOptions::default() });
    scene.add(&["quick"]);
    scene.let_go("quick");
    scene.runner.pass(&scene.broker.clock, Duration::from_secs(60));
    assert_eq!(scene.broker.settled(), ["quick done"]);
}

#[test]
fn no_more_handlers_begin_and_no_more_messages_are_taken_than_the_rate_allows() {
    let rate = Some(Rate { count: 2, per: Duration::from_secs(10) });
    let scene = Scene::with(WorkerOptions { concurrency: 5, rate, ..WorkerOptions::default() });
    scene.add(&["a", "b", "c", "d", "e"]);
    let stand = || (scene.begun(), scene.broker.state.lock().ready.len());
    assert_eq!(stand(), (2, 3));
    scene.runner.pass(&scene.broker.clock, Duration::from_millis(9_999));
    assert_eq!(stand(), (2, 3));
    scene.runner.pass(&scene.broker.clock, Duration::from_millis(1));
    assert_eq!(stand(), (4, 1));
}

#[test]
fn a_worker_can_be_paused_and_stopped_while_its_rate_makes_it_wait() {
    let rate = Some(Rate { count: 1, per: Duration::from_secs(3600) });
    let mut scene = Scene::with(WorkerOptions { rate, ..WorkerOptions::default() });
    scene.add(&["a", "b"]);
    scene.let_go("a");
    scene.worker().pause();
    scene.runner.run_until_idle();
    let stop = scene.worker.take().unwrap().stop();
    scene.runner.block_on(stop);
    scene.runner.join();
    assert_eq!(scene.broker.state.lock().ready.len(), 1);
}

#[test]
fn waiting_for_a_stop_ends_when_what_ran_is_settled() {
    let mut scene = Scene::new(2);
    scene.add(&["a"]);
    let mut stop = Box::pin(scene.worker.take().unwrap().stop());
    assert!(scene.runner.poll_once(&mut stop).is_pending(), "a handler runs");
    scene.add(&["b"]);
    scene.broker.state.lock().refuse.push_back(Kind::Unavailable);
    scene.let_go("a");
    assert!(scene.runner.poll_once(&mut stop).is_pending(), "it is not settled");
    scene.runner.pass(&scene.broker.clock, limits::BROKER_PAUSE);
    scene.runner.block_on(stop);
    assert_eq!(scene.broker.settled(), ["a done"]);
    assert_eq!(scene.broker.state.lock().ready.len(), 1, "nothing more was taken");
}

#[test]
fn an_outage_is_survived_by_the_worker_and_by_the_handler_that_runs() {
    let scene = Scene::new(2);
    scene.add(&["a"]);
    scene.broker.change(|state| state.down = Some(Kind::Unavailable));
    scene.runner.pass(&scene.broker.clock, Duration::from_secs(120));
    let asked = scene.broker.state.lock().asked.len();
    assert!((24..=30).contains(&asked), "asked {asked} times: not tight, and not given up");
    assert_eq!(scene.worker().running(), 1, "what ran goes on");
    scene.broker.change(|state| state.down = None);
    scene.add(&["b"]);
    scene.runner.pass(&scene.broker.clock, limits::BROKER_PAUSE_MAX);
    assert_eq!(scene.begun(), 2);
    scene.let_go("a");
    scene.let_go("b");
    assert_eq!(scene.broker.settled(), ["a done", "b done"]);
}

#[test]
fn a_worker_ends_with_its_last_handler_when_the_broker_is_closed() {
    let mut scene = Scene::new(2);
    scene.add(&["a"]);
    scene.broker.change(|state| state.closed = true);
    scene.runner.run_until_idle();
    let asked = scene.broker.state.lock().asked.len();
    scene.runner.pass(&scene.broker.clock, Duration::from_secs(120));
    assert_eq!(scene.broker.state.lock().asked.len(), asked, "it asks no more");
    let worker = scene.worker.take().unwrap();
    scene.let_go("a");
    scene.runner.join();
    scene.runner.block_on(worker.stop());
}

#[test]
fn a_stop_that_nobody_waits_for_stops_all_the_same() {
    let mut scene = Scene::new(1);
    drop(scene.worker.take().unwrap().stop());
    scene.runner.join();
}

#[test]
fn a_stop_does_not_wait_for_a_runtime_that_is_gone() {
    let mut scene = Scene::new(1);
    scene.add(&["a"]);
    scene.runner.abandon();
    scene.runner.block_on(scene.worker.take().unwrap().stop());
    assert!(scene.broker.settled().is_empty(), "its hold runs out");
}

#[test]
fn options_at_their_limits_are_taken_and_beyond_them_refused() {
    let new = |options| {
        let (runner, broker) = (Runner::new(), Scripted::new(3));
        let queue = QueueName::new("q").unwrap();
        Worker::new(broker.queues(), queue, options, runner, async |_| Ok(())).map(drop)
    };
    let a_bit = Duration::from_millis(1);
    let rate = |count, per| Some(Rate { count, per });
    let widest = WorkerOptions {
        concurrency: limits::WORKER_CONCURRENCY_MAX,
        hold: Some(limits::HOLD_MAX),
        time_limit: Some(a_bit),
        rate: rate(limits::WORKER_RATE_COUNT_MAX, a_bit),
    };
    assert!(new(widest).is_ok());
    for wrong in [
        WorkerOptions { concurrency: 0, ..widest },
        WorkerOptions { concurrency: limits::WORKER_CONCURRENCY_MAX + 1, ..widest },
        WorkerOptions { hold: Some(Duration::ZERO), ..widest },
        WorkerOptions { hold: Some(limits::HOLD_MAX + a_bit), ..widest },
        WorkerOptions { time_limit: Some(Duration::ZERO), ..widest },
        WorkerOptions { rate: rate(0, a_bit), ..widest },
        WorkerOptions { rate: rate(limits::WORKER_RATE_COUNT_MAX + 1, a_bit), ..widest },
        WorkerOptions { rate: rate(1, Duration::ZERO), ..widest },
    ] {
        assert!(new(wrong).is_err(), "{wrong:?}");
    }
}
