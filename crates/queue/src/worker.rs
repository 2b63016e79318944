//! A worker: takes messages, runs the user's handler on a bounded number of them at a time, and settles each.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use forebay_core::delivery::{Delivery, End};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::ports::clock::{Run, Spawn, Work};
use forebay_core::queue::QueueName;
use parking_lot::Mutex;

use crate::deliver::ReceiveOptions;
use crate::job::Job;
use crate::queues::Queues;
use crate::race::{First, race};

/// Why a handler could not do its work. Any error is a failure that may be tried again; [`reject`](Self::reject) is
/// for messages that can never be handled.
#[derive(Debug)]
pub struct Failure {
    pub(crate) note: String,
    pub(crate) end: End,
}

impl Failure {
    /// The message can never be handled: it goes to the dead letters at once.
    pub fn reject(note: impl Into<String>) -> Self {
        Self { note: note.into(), end: End::Rejected }
    }
}

impl<E: fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { note: error.to_string(), end: End::Failed }
    }
}

/// How a worker works.
#[derive(Clone, Copy, Debug)]
pub struct WorkerOptions {
    /// Handlers at a time, 1 to [`limits::WORKER_CONCURRENCY_MAX`]. No more messages than that are taken.
    pub concurrency: usize,
    /// How long a silent handler keeps its message; `None` is the queue's own. A running handler keeps it for as long
    /// as it runs.
    pub hold: Option<Duration>,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self { concurrency: 1, hold: None }
    }
}

/// The handle of a worker. Dropping it stops the worker, as [`stop`](Self::stop) does.
#[derive(Debug)]
pub struct Worker {
    control: Arc<Control>,
}

impl Worker {
    /// A worker on `queue`, and the work that must be run for it to work; handlers run on `spawn`. The work ends
    /// when the worker was stopped and its last handler is done. A handler that panics has failed; it harms nobody.
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
        if options.concurrency == 0 || options.concurrency > limits::WORKER_CONCURRENCY_MAX {
            return Err(Error::new(
                Kind::Invalid,
                "start worker on queue",
                format!("{queue}: concurrency must be 1 to 1000"),
            ));
        }
        let control = Arc::new(Control::default());
        let taker =
            Taker { queues, queue, options, spawn, handler: Arc::new(handler), control: control.clone() };
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

    /// Takes no more messages for good. What runs is finished and settled; what was taken and not begun goes back.
    pub fn stop(&self) {
        self.control.change(|state| state.stopped = true);
    }

    /// Handlers that are running now.
    pub fn running(&self) -> usize {
        self.control.state.lock().running
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the handle, the taker and the handlers tell each other.
#[derive(Debug, Default)]
struct Control {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    paused: bool,
    stopped: bool,
    running: usize,
    /// The taker, the only one that waits.
    taker: Option<Waker>,
}

impl Control {
    fn change(&self, change: impl FnOnce(&mut State)) {
        let waker = {
            let mut state = self.state.lock();
            change(&mut state);
            state.taker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits until `look` finds what it looks for.
    async fn until<T>(&self, look: impl Fn(&State) -> Option<T>) -> T {
        poll_fn(|context| {
            let mut state = self.state.lock();
            if let Some(found) = look(&state) {
                return Poll::Ready(found);
            }
            state.taker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn begin(self: &Arc<Self>) -> Option<Running> {
        let mut state = self.state.lock();
        if state.stopped || state.paused {
            return None;
        }
        state.running += 1;
        Some(Running { control: self.clone() })
    }
}

/// One handler's place among the running; given back also when its task is dropped.
struct Running {
    control: Arc<Control>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.control.change(|state| state.running -= 1);
    }
}

struct Taker<H> {
    queues: Queues,
    queue: QueueName,
    options: WorkerOptions,
    spawn: Arc<dyn Spawn>,
    handler: Arc<H>,
    control: Arc<Control>,
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
    async fn run(self) {
        let concurrency = self.options.concurrency;
        let next = |state: &State| match state {
            State { stopped: true, .. } => Some(Next::Stop),
            State { paused: false, running, .. } if *running < concurrency => {
                Some(Next::Take(concurrency - running))
            }
            _ => None,
        };
        while let Next::Take(count_max) = self.control.until(next).await {
            let options =
                ReceiveOptions { count_max, hold: self.options.hold, wait: limits::RECEIVE_WAIT_MAX };
            let halted = || self.control.until(|state| (state.stopped || state.paused).then_some(()));
            match race(halted(), self.queues.receive(&self.queue, options)).await {
                First::Left(()) => {}
                First::Right(Ok(deliveries)) => self.begin(deliveries).await,
                First::Right(Err(_)) => {
                    let clock = &self.queues.clock;
                    race(halted(), clock.sleep_until(clock.now() + limits::BROKER_PAUSE)).await;
                }
            }
        }
        self.control.until(|state| (state.running == 0).then_some(())).await;
    }

    /// Runs each delivery, or gives it back when a halt came between.
    async fn begin(&self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            match self.control.begin() {
                Some(running) => {
                    let job = Job {
                        queues: self.queues.clone(),
                        queue: delivery.queue.clone(),
                        id: delivery.id,
                        hold: delivery.held_until.since(self.queues.clock.now()),
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
                None => drop(self.queues.settle(&delivery.queue, delivery.id, End::Returned, None).await),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use forebay_contract::runner::Runner;

    use super::*;
    use crate::scripted::Scripted;

    /// A worker whose handlers wait until their message is let go, and then do as its name says.
    struct Scene {
        runner: Arc<Runner>,
        broker: Arc<Scripted>,
        worker: Option<Worker>,
        gate: Arc<Gate>,
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
            let (runner, broker, gate) = (Runner::new(), Scripted::new(3), Arc::new(Gate::default()));
            let handler_gate = gate.clone();
            let handler = move |delivery: Delivery| {
                let gate = handler_gate.clone();
                let name = delivery.message.id.as_str().to_owned();
                assert!(name != "panics at once", "as its name says");
                async move {
                    gate.wait(&name).await;
                    match &*name {
                        "fails" => Err("no luck".into()),
                        "is refused" => Err(Failure::reject("never")),
                        "panics" => panic!("as its name says"),
                        _ => Ok(()),
                    }
                }
            };
            let options = WorkerOptions { concurrency, hold: Some(Duration::from_secs(30)) };
            let queue = QueueName::new("q").unwrap();
            let (worker, work) =
                Worker::new(broker.queues(), queue, options, runner.clone(), handler).unwrap();
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
        let options = WorkerOptions { concurrency: 3, hold: None };
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
        for (name, refusals, settled) in [
            ("a", 1, true),
            ("b", limits::SETTLE_TRIES_MAX - 1, true),
            ("c", limits::SETTLE_TRIES_MAX, false),
        ] {
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
    fn concurrency_at_the_limit_is_taken_and_beyond_it_refused() {
        let worker = |concurrency| {
            let (runner, broker) = (Runner::new(), Scripted::new(3));
            let options = WorkerOptions { concurrency, hold: None };
            let queue = QueueName::new("q").unwrap();
            Worker::new(broker.queues(), queue, options, runner, async |_| Ok(())).map(drop)
        };
        assert!(worker(limits::WORKER_CONCURRENCY_MAX).is_ok());
        assert!(worker(limits::WORKER_CONCURRENCY_MAX + 1).is_err());
        assert!(worker(0).is_err());
    }
}
