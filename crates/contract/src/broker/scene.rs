//! What the cases say in one line each.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a suite fails by panicking")]

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use forebay_core::delivery::{Delivery, DeliveryId, History, Outcome, Settled};
use forebay_core::error::{Kind, Result};
use forebay_core::message::{Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{AdminCapabilities, BrokerAdmin, Held, Receive};
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_core::time::Instant;
use parking_lot::Mutex;

use super::Rig;

/// A short while, longer than any time it takes to do a thing.
pub(crate) fn a_while(rig: &dyn Rig) -> Duration {
    rig.pace().a_while
}

/// How much later than its time a thing may happen.
pub(crate) fn late(rig: &dyn Rig) -> Duration {
    rig.pace().late
}

/// How long to wait at most for what must come.
pub(crate) fn patience(rig: &dyn Rig) -> Duration {
    rig.pace().patience
}

/// Gives what was confirmed the time to come where it is received.
pub(crate) fn let_come(rig: &dyn Rig) {
    if !rig.pace().is_exact() {
        rig.pass(rig.pace().quiet);
    }
}

/// Whether a case may let so much time pass.
pub(crate) fn has_time(rig: &dyn Rig, time: Duration) -> bool {
    time <= rig.pace().longest
}

pub(crate) fn name(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

/// A message of this id, whose payload is the id again.
pub(crate) fn message(id: &str) -> Message {
    Message::new(MessageId::given(id).unwrap(), Payload::from(id))
}

/// A future that was begun and can be left for a while.
pub(crate) struct Begun<'a, T> {
    future: BoxFuture<'a, ()>,
    output: Arc<Mutex<Option<T>>>,
}

impl<'a, T: Send + 'a> Begun<'a, T> {
    pub(crate) fn new(future: impl Future<Output = T> + Send + 'a) -> Self {
        let output = Arc::new(Mutex::new(None));
        let put = output.clone();
        Self { future: Box::pin(async move { *put.lock() = Some(future.await) }), output }
    }

    /// Its output, if it has come to its end by now.
    pub(crate) fn poll(&mut self, rig: &dyn Rig) -> Option<T> {
        if rig.poll(&mut self.future) { self.output.lock().take() } else { None }
    }

    /// Its output, if it has come to its end by the time that it has been asked so often.
    pub(crate) fn asked(&mut self, rig: &dyn Rig, times: usize) -> Option<T> {
        let (mut asked, future) = (0, &mut self.future);
        let ask = poll_fn(move |context| {
            asked += 1;
            let ended = future.as_mut().poll(context);
            if asked < times { ended } else { Poll::Ready(()) }
        });
        rig.run(Box::pin(ask));
        self.output.lock().take()
    }

    /// Its output, which must come by itself: at once, or within the pace's patience.
    pub(crate) fn output(&mut self, rig: &dyn Rig) -> T {
        let until = rig.now() + patience(rig);
        loop {
            let output = self.poll(rig);
            if output.is_some() || rig.pace().is_exact() || rig.now() >= until {
                return output.expect("it does not come to its end");
            }
        }
    }
}

/// Runs a future to its end.
pub(crate) fn run<'a, T: Send + 'a>(rig: &dyn Rig, future: impl Future<Output = T> + Send + 'a) -> T {
    let Begun { future, output } = Begun::new(future);
    rig.run(future);
    output.lock().take().unwrap()
}

pub(crate) fn ensure(rig: &dyn Rig, settings: &QueueSettings) -> Result<()> {
    run(rig, rig.broker().ensure(settings))
}

/// A queue with default settings.
pub(crate) fn queue(rig: &dyn Rig, queue: &str) -> QueueName {
    queue_with(rig, queue, |_| ())
}

/// A queue that holds its deliveries no longer than a case can wait.
pub(crate) fn queue_with_short_hold(rig: &dyn Rig, queue: &str) -> QueueName {
    queue_with(rig, queue, |settings| settings.hold = a_while(rig) * 2)
}

/// A queue with some settings changed.
pub(crate) fn queue_with(rig: &dyn Rig, queue: &str, change: impl FnOnce(&mut QueueSettings)) -> QueueName {
    let mut settings = QueueSettings::new(name(queue));
    change(&mut settings);
    ensure(rig, &settings).unwrap();
    settings.name
}

pub(crate) fn try_publish(
    rig: &dyn Rig,
    queue: &QueueName,
    messages: Vec<Message>,
) -> Result<Vec<MessageId>> {
    run(rig, rig.broker().publish(queue, messages))
}

/// Publishes messages with these ids in one batch.
pub(crate) fn publish(rig: &dyn Rig, queue: &QueueName, ids: &[&str]) {
    try_publish(rig, queue, ids.iter().map(|id| message(id)).collect()).unwrap();
}

/// What is there now, or comes within `wait`, at most so many.
fn receive_within(
    rig: &dyn Rig,
    queue: &QueueName,
    count_max: usize,
    wait: Duration,
) -> Result<Vec<Delivery>> {
    let receive = Receive { count_max, hold: None, wait_until: rig.now() + wait };
    run(rig, rig.broker().receive(queue, receive))
}

/// What is there now, at most so many: asked once where it is there at once, else until nothing more comes.
pub(crate) fn try_receive(rig: &dyn Rig, queue: &QueueName, count_max: usize) -> Result<Vec<Delivery>> {
    let quiet = rig.pace().quiet;
    let mut all = receive_within(rig, queue, count_max, quiet)?;
    let mut comes = !rig.pace().is_exact() && !all.is_empty();
    while comes && all.len() < count_max {
        let more = receive_within(rig, queue, count_max - all.len(), quiet)?;
        comes = !more.is_empty();
        all.extend(more);
    }
    Ok(all)
}

/// What is there now, at most so many.
pub(crate) fn receive(rig: &dyn Rig, queue: &QueueName, count_max: usize) -> Vec<Delivery> {
    try_receive(rig, queue, count_max).unwrap()
}

/// The one that is there now.
pub(crate) fn receive_one(rig: &dyn Rig, queue: &QueueName) -> Delivery {
    let wait = if rig.pace().is_exact() { Duration::ZERO } else { patience(rig) };
    let mut deliveries = receive_within(rig, queue, 1, wait).unwrap();
    assert_eq!(deliveries.len(), 1, "nothing is ready in {queue}");
    deliveries.remove(0)
}

/// A receive that waits, begun.
pub(crate) fn waiting<'a>(
    rig: &dyn Rig,
    queue: &'a QueueName,
    count_max: usize,
    wait: Duration,
) -> Begun<'a, Result<Vec<Delivery>>> {
    let (broker, wait_until) = (rig.broker(), rig.now() + wait);
    Begun::new(async move { broker.receive(queue, Receive { count_max, hold: None, wait_until }).await })
}

pub(crate) fn ids(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery.message.id.as_str()).collect()
}

/// The ids of all that is ready, which is taken.
pub(crate) fn drain(rig: &dyn Rig, queue: &QueueName) -> Vec<String> {
    ids(&receive(rig, queue, 1_000)).into_iter().map(str::to_owned).collect()
}

pub(crate) fn settle(rig: &dyn Rig, queue: &QueueName, delivery: DeliveryId, outcome: Outcome) -> Settled {
    settle_with_note(rig, queue, delivery, outcome, None)
}

pub(crate) fn settle_with_note(
    rig: &dyn Rig,
    queue: &QueueName,
    delivery: DeliveryId,
    outcome: Outcome,
    note: Option<&str>,
) -> Settled {
    run(rig, rig.broker().settle(queue, delivery, outcome, note)).unwrap()
}

/// Settles a delivery that must be held.
pub(crate) fn end(rig: &dyn Rig, delivery: &Delivery, outcome: Outcome) {
    assert_eq!(settle(rig, &delivery.queue, delivery.id, outcome), Settled::Done);
}

pub(crate) fn held(rig: &dyn Rig, delivery: &Delivery) -> Option<Held> {
    run(rig, rig.broker().held(&delivery.queue, delivery.id)).unwrap()
}

pub(crate) fn extend(rig: &dyn Rig, delivery: &Delivery, hold: Duration) -> Option<Instant> {
    run(rig, rig.broker().extend(&delivery.queue, delivery.id, hold)).unwrap()
}

/// The deliveries whose hold has run out by now.
pub(crate) fn run_out(rig: &dyn Rig) -> Vec<Delivery> {
    let broker = rig.broker();
    let mut begun = Begun::new(async move { broker.expired().await });
    begun.poll(rig).map_or(Vec::new(), |expired| expired.unwrap())
}

/// Does something with an administration that can do it.
pub(crate) fn with_admin_that(
    rig: &dyn Rig,
    can: impl FnOnce(AdminCapabilities) -> bool,
    act: impl FnOnce(&dyn BrokerAdmin),
) {
    if let Some(admin) = rig.admin().filter(|admin| can(admin.capabilities())) {
        act(&*admin);
    }
}

/// Does something with the administration, where there is one.
pub(crate) fn with_admin(rig: &dyn Rig, act: impl FnOnce(&dyn BrokerAdmin)) {
    if let Some(admin) = rig.admin() {
        act(&*admin);
    }
}

pub(crate) fn kind<T>(result: Result<T>) -> Kind {
    result.map(|_| ()).unwrap_err().kind()
}

/// A history without its times.
pub(crate) fn told(history: &[History]) -> Vec<String> {
    let tell = |entry: &History| {
        let note = entry.note.as_deref().unwrap_or("-");
        format!(
            "{} {} x{} attempts {} {note}",
            entry.queue,
            entry.reason.as_str(),
            entry.count,
            entry.attempts
        )
    };
    history.iter().map(tell).collect()
}
