//! What happens when time passes: delayed messages become ready, holds run out, messages expire.
//!
//! Each queue keeps its own order of time and sets one alarm, for the earliest moment in it. One task serves them all.

use std::collections::{BTreeSet, VecDeque};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use forebay_core::delivery::{Delivery, DeliveryId, Reason};
use forebay_core::error::{Kind, Result};
use forebay_core::limits;
use forebay_core::ports::clock::{Run, Work};
use forebay_core::time::Instant;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::engine::{Engine, yield_now};
use crate::moves::Pick;
use crate::receive::Handed;
use crate::records::Record;
use crate::state::State;
use crate::state::unsettled::Due;
use crate::topology::Queue;

/// The alarms of all queues, and the holds that have run out.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// By time, and the queue's number.
    alarms: Mutex<BTreeSet<(Instant, u64)>>,
    /// An earlier alarm than all others was set, or the broker closes.
    earlier: Notify,
    /// Queue numbers and deliveries. Each is here while its state says so, and what was settled meanwhile is passed over.
    run_out: Mutex<VecDeque<(u64, DeliveryId)>>,
    has_run_out: Notify,
}

impl Timers {
    /// Sets the alarm of a queue, in place of the one it had.
    pub(crate) fn set(&self, queue: u64, present: Option<Instant>, at: Instant) {
        let mut alarms = self.alarms.lock();
        if let Some(present) = present {
            alarms.remove(&(present, queue));
        }
        alarms.insert((at, queue));
        if alarms.first() == Some(&(at, queue)) {
            self.earlier.notify_one();
        }
    }

    /// Takes the alarm of a queue away that is gone.
    pub(crate) fn unset(&self, queue: u64, at: Instant) {
        self.alarms.lock().remove(&(at, queue));
    }

    /// Wakes everybody who waits on the timers.
    pub(crate) fn wake(&self) {
        self.earlier.notify_one();
        self.has_run_out.notify_waiters();
    }

    /// Lists a hold that has run out to be offered; false when the list is full.
    fn list(&self, queue: u64, id: DeliveryId) -> bool {
        let mut run_out = self.run_out.lock();
        if run_out.len() >= limits::RUN_OUT_MAX {
            return false;
        }
        run_out.push_back((queue, id));
        self.has_run_out.notify_one();
        true
    }

    fn pop(&self, now: Instant) -> Option<u64> {
        let mut alarms = self.alarms.lock();
        let (at, queue) = alarms.first().copied().filter(|(at, _)| *at <= now)?;
        alarms.remove(&(at, queue));
        Some(queue)
    }

    fn next(&self) -> Option<Instant> {
        self.alarms.lock().first().map(|(at, _)| *at)
    }
}

/// The task that rings the alarms.
pub(crate) fn work(engine: Arc<Engine>) -> Work {
    Work { name: "broker timers", run: Run::Task(Box::pin(run(engine))) }
}

async fn run(engine: Arc<Engine>) {
    loop {
        let mut earlier = pin!(engine.timers.earlier.notified());
        earlier.as_mut().enable();
        if engine.is_closed() {
            return;
        }
        if engine.ring(engine.clock.now()) {
            // A thousand messages may have been moved in one step.
            yield_now().await;
            continue;
        }
        let mut sleep = engine.timers.next().map(|at| engine.clock.sleep_until(at));
        poll_fn(|context| match (earlier.as_mut().poll(context), &mut sleep) {
            (Poll::Pending, Some(sleep)) => sleep.as_mut().poll(context),
            (poll, _) => poll,
        })
        .await;
    }
}

impl Engine {
    /// Serves the first alarm that is due, and says whether there was one.
    pub(crate) fn ring(&self, now: Instant) -> bool {
        let Some(number) = self.timers.pop(now) else { return false };
        let Some(queue) = self.topology.numbered(number) else { return true };
        {
            let Ok(mut state) = queue.lock() else { return true };
            state.alarm = None;
            self.come_due(&queue, &mut state, now);
        }
        let expired = self.expire_heads(&queue, now).and_then(|_| self.shed(&queue));
        let Ok(mut state) = queue.lock() else { return true };
        self.changed(&queue, &mut state);
        if let Err(error) = expired {
            tracing::warn!(queue = %queue.name, %error, "messages that are to go stay for now");
            let later = now + limits::QUEUE_PAUSE;
            self.timers.set(number, state.alarm, later);
            state.alarm = Some(later);
        }
        true
    }

    /// Lets a bounded number of things in the queue come to their time; the alarm brings the rest.
    pub(crate) fn come_due(&self, queue: &Queue, state: &mut State, now: Instant) {
        for _ in 0..limits::DUE_MESSAGES_MAX {
            match state.unsettled.pop_due(now) {
                Some(Due::Ready(entry)) => state.arrive(entry, None, now),
                Some(Due::RunOut { position, token }) => {
                    if !self.timers.list(queue.number, DeliveryId { position, token }) {
                        state.unsettled.look_again(position, now + limits::QUEUE_PAUSE);
                    }
                }
                None => break,
            }
        }
        self.drop_overflow(queue, state);
        self.forget_unretained(queue.number, state, now);
    }

    /// Takes a bounded number of messages past their time to live from the front of the queue: to its dead letters'
    /// place if it names one, else away, as the publisher has asked. Says whether there were any.
    pub(crate) fn expire_heads(&self, queue: &Queue, now: Instant) -> Result<bool> {
        for count in 0..limits::DUE_MESSAGES_MAX {
            let position = {
                let mut state = queue.lock()?;
                if !state.ready.pass_over(limits::SLICE_MESSAGES_MAX) {
                    continue;
                }
                let Some(head) = state.ready.head().filter(|head| head.expires_at() <= now) else {
                    return Ok(count > 0);
                };
                let position = head.position;
                if state.settings.dead_letter.is_none() && state.settings.dead_letter_exchange.is_none() {
                    self.journal.append(&Record::Settle { queue: queue.number, position })?;
                    state.take(position).into_iter().for_each(|entry| self.forget(entry));
                    state.counts.dropped += 1;
                    continue;
                }
                position
            };
            match self.dead_letter(queue, Pick::Ready(position), Reason::Expired, None) {
                Err(error) if matches!(error.kind(), Kind::Damaged | Kind::Io) => {
                    self.put_off(queue, Pick::Ready(position), &error);
                }
                moved => drop(moved?),
            }
        }
        Ok(true)
    }

    /// Waits for holds that have run out, and offers them to the caller.
    pub(crate) async fn expired(&self) -> Result<Vec<Delivery>> {
        loop {
            let mut has_run_out = pin!(self.timers.has_run_out.notified());
            has_run_out.as_mut().enable();
            self.check_open("wait for expired holds")?;
            let deliveries = self.offer_run_out();
            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
            has_run_out.await;
        }
    }

    /// Offers a bounded number of those that have.
    pub(crate) fn offer_run_out(&self) -> Vec<Delivery> {
        let run_out: Vec<_> = {
            let mut run_out = self.timers.run_out.lock();
            let count = run_out.len().min(limits::EXPIRED_DELIVERIES_MAX);
            if count < run_out.len() {
                self.timers.has_run_out.notify_one();
            }
            run_out.drain(..count).collect()
        };
        let now = self.clock.now();
        let offer = |(number, id): (u64, DeliveryId)| {
            let queue = self.topology.numbered(number)?;
            let mut state = queue.lock().ok()?;
            state.unsettled.offered(id.position, now);
            let held = state.unsettled.held(id.position, id.token)?;
            let handed = Handed::new(id, &held.entry, None, held.until, state.settings.retry);
            self.changed(&queue, &mut state);
            drop(state);
            let offered = self.load(&queue, handed);
            if let Err(error) = &offered {
                self.put_off(&queue, Pick::Held(id), error);
            }
            // Whoever decides about its end needs no payload; a hundred claimed ones would be gigabytes.
            offered.ok().map(|loaded| loaded.delivery)
        };
        run_out.into_iter().filter_map(offer).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};
    use std::time::Duration;

    use forebay_contract::runner::Runner;
    use forebay_core::message::{Message, MessageId};
    use forebay_core::ports::broker::Receive;
    use forebay_core::ports::clock::{Clock as _, Spawn as _};
    use forebay_core::queue::{QueueName, QueueSettings};

    use super::*;
    use crate::bench::Bench;

    const COUNT: usize = 2 * limits::DUE_MESSAGES_MAX + 500;

    fn publish(bench: &Bench, queue: &QueueName, change: impl Fn(&mut Message)) {
        for _ in 0..COUNT / 20 {
            let mut message = Message::new(MessageId::given("m").unwrap(), "".into());
            change(&mut message);
            bench.publish_all(queue, vec![message; 20]).unwrap();
            bench.write();
        }
    }

    /// The timers' own task beside the bench.
    fn running(bench: &Bench) -> Arc<Runner> {
        let runner = Runner::new();
        runner.spawn(work(bench.broker.engine.clone()));
        runner.run_until_idle();
        runner
    }

    fn ready(bench: &Bench, queue: &QueueName) -> u64 {
        bench.engine().info(&bench.engine().topology.find(queue).unwrap()).unwrap().stats.ready
    }

    #[test]
    fn more_messages_than_one_step_takes_come_due_step_by_step() {
        let bench = Bench::new(1_000);
        let (runner, q) = (running(&bench), bench.queue("q"));
        let soon = bench.clock.now() + Duration::from_secs(3);
        publish(&bench, &q, |message| message.not_before = Some(soon));
        assert_eq!(ready(&bench, &q), 0);
        bench.clock.set(soon);
        let found = bench.engine().topology.find(&q).unwrap();
        bench.engine().come_due(&found, &mut found.lock().unwrap(), soon);
        assert_eq!(ready(&bench, &q), limits::DUE_MESSAGES_MAX as u64);
        runner.run_until_idle();
        assert_eq!(ready(&bench, &q), COUNT as u64);
    }

    #[test]
    fn expired_messages_leave_a_queue_that_nobody_reads() {
        let bench = Bench::new(1_000);
        let runner = running(&bench);
        let mut settings = QueueSettings::new(QueueName::new("chain").unwrap());
        settings.dead_letter = Some(QueueName::new("next").unwrap());
        bench.engine().topology.declare(&bench.engine().journal, &settings, usize::MAX).unwrap();
        let soon = bench.clock.now() + Duration::from_secs(3);
        publish(&bench, &settings.name, |message| message.expires_at = Some(soon));
        bench.clock.set(soon);
        // The log takes only so much before it must write.
        while bench.depth(&settings.name) > 0 {
            runner.run_until_idle();
            bench.write();
            bench.clock.advance(limits::QUEUE_PAUSE);
        }
        assert_eq!(ready(&bench, &QueueName::new("next").unwrap()), COUNT as u64);
    }

    #[test]
    fn a_hold_for_the_life_of_the_process_lasts_as_long_and_no_longer() {
        let expired = |bench: &Bench| {
            running(bench).run_until_idle();
            let mut expired = Box::pin(bench.engine().expired());
            match expired.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(expired) => expired.unwrap().iter().map(|delivery| delivery.attempt).collect(),
                Poll::Pending => Vec::new(),
            }
        };
        let bench = Bench::new(1_000);
        let q = bench.queue("q");
        assert_eq!(bench.try_publish(&q, 1), Ok(()));
        let receive = Receive { count_max: 1, hold: Some(Duration::MAX), wait_until: bench.clock.now() };
        assert_eq!(bench.until_ready(bench.engine().receive(&q, receive)).unwrap().len(), 1);
        bench.clock.advance(Duration::from_secs(366 * 24 * 3600));
        assert_eq!(expired(&bench), [0_u32; 0]);
        assert_eq!(bench.try_publish(&q, 1), Ok(()));
        bench.write();
        // It is not offered: the first who receives finds it before what came later, without anybody's help.
        let bench = bench.crash();
        assert_eq!(expired(&bench), [0_u32; 0]);
        assert_eq!([2, 1], [(); 2].map(|()| bench.receive(&q).unwrap().attempt));
    }

    #[test]
    fn holds_that_run_out_together_are_offered_in_bounded_parts() {
        let bench = Bench::new(1_000);
        let (runner, q) = (running(&bench), bench.queue("q"));
        publish(&bench, &q, |_| ());
        let mut held = 0;
        while bench.receive(&q).is_some() {
            held += 1;
            bench.write();
        }
        assert_eq!(held, COUNT);
        bench.clock.advance(limits::HOLD_DEFAULT);
        runner.run_until_idle();
        let expired = || {
            let mut expired = Box::pin(bench.engine().expired());
            match expired.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(expired) => expired.unwrap().len(),
                Poll::Pending => 0,
            }
        };
        for _ in 0..COUNT / limits::EXPIRED_DELIVERIES_MAX {
            assert_eq!(expired(), limits::EXPIRED_DELIVERIES_MAX);
        }
        assert_eq!(expired(), 0);
    }

    #[test]
    fn a_list_of_ended_holds_that_nobody_reads_stays_bounded_and_loses_none() {
        let bench = Bench::new(1_000);
        let (runner, q) = (running(&bench), bench.queue("q"));
        publish(&bench, &q, |_| ());
        let timers = &bench.engine().timers;
        let elsewhere = DeliveryId { position: 1, token: 1 };
        let room = 700;
        (0..limits::RUN_OUT_MAX - room).for_each(|_| assert!(timers.list(0, elsewhere)));
        while bench.receive(&q).is_some() {
            bench.write();
        }
        bench.clock.advance(limits::HOLD_DEFAULT);
        runner.run_until_idle();
        assert_eq!(timers.run_out.lock().len(), limits::RUN_OUT_MAX);
        let mut offered = 0;
        while offered < COUNT {
            let now = bench.engine().offer_run_out().len();
            offered += now;
            if now == 0 && timers.run_out.lock().is_empty() {
                runner.pass(&bench.clock, limits::QUEUE_PAUSE);
            }
        }
        assert_eq!(offered, COUNT, "each was offered once");
    }

    #[test]
    fn a_deleted_queue_leaves_no_alarm() {
        let bench = Bench::new(1_000);
        let q = bench.queue("q");
        bench.publish(&q, 1);
        bench.receive(&q).unwrap();
        assert!(bench.engine().timers.next().is_some());
        bench.until_ready(bench.engine().delete(&q, None)).unwrap();
        assert_eq!(bench.engine().timers.next(), None);
    }

    #[test]
    fn a_full_log_does_not_make_the_timers_spin() {
        let bench = Bench::new(16);
        let (runner, q) = (running(&bench), bench.queue("q"));
        let mut settings = QueueSettings::new(QueueName::new("chain").unwrap());
        settings.dead_letter = Some(q.clone());
        bench.engine().topology.declare(&bench.engine().journal, &settings, usize::MAX).unwrap();
        let soon = bench.clock.now() + Duration::from_secs(3);
        let mut message = Message::new(MessageId::given("m").unwrap(), vec![0; 1_200].into());
        message.expires_at = Some(soon);
        while bench.publish_all(&settings.name, vec![message.clone()]).is_ok() {
            bench.write();
        }
        bench.clock.set(soon);
        // Nothing is written, so that at some point nothing more can be moved; the task must come to rest then.
        runner.run_until_idle();
        let left = bench.depth(&settings.name);
        assert!(left > 0);
        assert_eq!(bench.clock.next_wake(), Some(soon + limits::QUEUE_PAUSE));
        bench.write();
        runner.pass(&bench.clock, limits::QUEUE_PAUSE);
        assert!(bench.depth(&settings.name) < left, "it is tried again");
    }
}
