//! A consumer: a run of messages taken ahead in bounded number, handed out as they are asked for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use forebay_core::delivery::{Delivery, End};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::ports::clock::{Run, Spawn, Work};
use forebay_core::queue::QueueName;
use forebay_core::time::Instant;

use crate::deliver::ReceiveOptions;
use crate::pauses::Pauses;
use crate::queues::Queues;
use crate::race::all;

/// How a consumer takes.
///
/// ```
/// use std::time::Duration;
/// use forebay_queue::consumer::ConsumerOptions;
///
/// // Batches of up to a hundred, which wait for a second to become full.
/// let options = ConsumerOptions { prefetch: 100, linger: Duration::from_secs(1), ..ConsumerOptions::default() };
/// # assert_eq!(options.hold, None);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ConsumerOptions {
    /// Most messages that are taken and not yet handed out, 1 to [`limits::RECEIVE_DELIVERIES_MAX`]. More are taken
    /// only when these have been handed out and the next is asked for.
    pub prefetch: usize,
    /// How long each is held, 1 ms to [`limits::HOLD_MAX`]; `None` is the queue's own. What is handed out has at
    /// least half of it left.
    pub hold: Option<Duration>,
    /// How long a batch that has a message waits to become full, at most [`limits::RECEIVE_WAIT_MAX`].
    pub linger: Duration,
}

impl Default for ConsumerOptions {
    /// 16 messages ahead, held as the queue says; a batch goes out with what is there.
    fn default() -> Self {
        Self { prefetch: 16, hold: None, linger: Duration::ZERO }
    }
}

/// Takes messages of one queue as they are asked for. Nothing is taken while nobody asks; dropping it gives back what
/// was taken and not handed out, untouched and with no attempt used.
///
/// ```
/// use forebay_queue::consumer::{Consumer, ConsumerOptions};
/// # use std::sync::Arc;
/// # use forebay_contract::{clock::SimClock, model_broker::ModelBroker, runner::Runner};
/// # use forebay_core::queue::{QueueName, QueueSettings};
/// # use forebay_queue::{publish::Draft, queues::Queues};
/// # let (runner, clock) = (Runner::new(), Arc::new(SimClock::new(1)));
/// # let queues = Queues::new(ModelBroker::new(clock.clone()), clock);
/// # let (spawn, orders) = (runner.clone(), QueueName::new("orders")?);
/// # runner.block_on(async {
/// # queues.ensure(&QueueSettings::new(orders.clone())).await?;
/// queues.publish(&orders, vec![Draft::new("one teapot"), Draft::new("two cups")]).await?;
/// let mut consumer = Consumer::new(queues.clone(), orders, ConsumerOptions::default(), spawn)?;
/// assert_eq!(&*consumer.next().await?.message.payload, b"one teapot");
/// drop(consumer); // the other one goes back untouched
/// # Ok::<(), forebay_core::error::Error>(())
/// # })?;
/// # Ok::<(), forebay_core::error::Error>(())
/// ```
pub struct Consumer {
    queues: Queues,
    queue: QueueName,
    options: ConsumerOptions,
    spawn: Arc<dyn Spawn>,
    taken: VecDeque<Taken>,
    /// Not before then is a broker asked again that has refused.
    rest_until: Option<Instant>,
    pauses: Pauses,
}

struct Taken {
    delivery: Delivery,
    hold: Duration,
}

impl Consumer {
    /// A consumer of `queue`; what it gives back when it is dropped is given back on `spawn`. `Invalid` names the
    /// option that is out of range.
    ///
    /// ```
    /// use forebay_queue::consumer::{Consumer, ConsumerOptions};
    /// # use std::sync::Arc;
    /// # use forebay_contract::{clock::SimClock, model_broker::ModelBroker, runner::Runner};
    /// # use forebay_core::queue::{QueueName, QueueSettings};
    /// # use forebay_queue::{publish::Draft, queues::Queues};
    /// # let (runner, clock) = (Runner::new(), Arc::new(SimClock::new(1)));
    /// # let queues = Queues::new(ModelBroker::new(clock.clone()), clock);
    /// # let (spawn, orders) = (runner.clone(), QueueName::new("orders")?);
    /// # runner.block_on(async {
    /// # queues.ensure(&QueueSettings::new(orders.clone())).await?;
    /// let consumer = Consumer::new(queues, orders, ConsumerOptions::default(), spawn)?;
    /// # drop(consumer);
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # })?;
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn new(
        queues: Queues,
        queue: QueueName,
        options: ConsumerOptions,
        spawn: Arc<dyn Spawn>,
    ) -> Result<Self> {
        let refuse = |what: &str| Err(Error::new(Kind::Invalid, "consume queue", format!("{queue}: {what}")));
        if options.prefetch == 0 || options.prefetch > limits::RECEIVE_DELIVERIES_MAX {
            return refuse("prefetch must be 1 to 1000");
        }
        if options.hold.is_some_and(|hold| hold < Duration::from_millis(1) || hold > limits::HOLD_MAX) {
            return refuse("hold must be 1 ms to 12 hours");
        }
        if options.linger > limits::RECEIVE_WAIT_MAX {
            return refuse("linger must be at most 30 seconds");
        }
        let (taken, pauses) = (VecDeque::new(), Pauses::default());
        Ok(Self { queues, queue, options, spawn, taken, rest_until: None, pauses })
    }

    /// Waits for the next message. Dropping the future loses nothing: what it took is handed out by the next one. After
    /// `Closed` nothing more comes; after any other error it may be called again, and asks the broker after a pause.
    ///
    /// ```
    /// use forebay_queue::consumer::{Consumer, ConsumerOptions};
    /// # use std::sync::Arc;
    /// # use forebay_contract::{clock::SimClock, model_broker::ModelBroker, runner::Runner};
    /// # use forebay_core::queue::{QueueName, QueueSettings};
    /// # use forebay_queue::{publish::Draft, queues::Queues};
    /// # let (runner, clock) = (Runner::new(), Arc::new(SimClock::new(1)));
    /// # let queues = Queues::new(ModelBroker::new(clock.clone()), clock);
    /// # let (spawn, orders) = (runner.clone(), QueueName::new("orders")?);
    /// # runner.block_on(async {
    /// # queues.ensure(&QueueSettings::new(orders.clone())).await?;
    /// queues.publish(&orders, vec![Draft::new("one teapot"), Draft::new("two cups")]).await?;
    /// let mut consumer = Consumer::new(queues.clone(), orders, ConsumerOptions::default(), spawn)?;
    /// let delivery = consumer.next().await?;
    /// assert_eq!((&*delivery.message.payload, delivery.attempt), (&b"one teapot"[..], 1));
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # })?;
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub async fn next(&mut self) -> Result<Delivery> {
        loop {
            if let Some(delivery) = self.hand_out().await? {
                return Ok(delivery);
            }
            self.take(self.options.prefetch, limits::RECEIVE_WAIT_MAX).await?;
        }
    }

    /// Waits for the next messages: at least one, at most `prefetch`, and fewer only when `linger` was over first or they
    /// have together more bytes than one receive hands out. Dropping the future loses nothing; errors are as of
    /// [`next`](Self::next).
    ///
    /// ```
    /// use forebay_queue::consumer::{Consumer, ConsumerOptions};
    /// # use std::sync::Arc;
    /// # use forebay_contract::{clock::SimClock, model_broker::ModelBroker, runner::Runner};
    /// # use forebay_core::queue::{QueueName, QueueSettings};
    /// # use forebay_queue::{publish::Draft, queues::Queues};
    /// # let (runner, clock) = (Runner::new(), Arc::new(SimClock::new(1)));
    /// # let queues = Queues::new(ModelBroker::new(clock.clone()), clock);
    /// # let (spawn, orders) = (runner.clone(), QueueName::new("orders")?);
    /// # runner.block_on(async {
    /// # queues.ensure(&QueueSettings::new(orders.clone())).await?;
    /// queues.publish(&orders, vec![Draft::new("one teapot"), Draft::new("two cups")]).await?;
    /// let mut consumer = Consumer::new(queues.clone(), orders, ConsumerOptions::default(), spawn)?;
    /// assert_eq!(consumer.next_batch().await?.len(), 2);
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # })?;
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub async fn next_batch(&mut self) -> Result<Vec<Delivery>> {
        loop {
            if self.taken.is_empty() {
                self.take(self.options.prefetch, limits::RECEIVE_WAIT_MAX).await?;
                continue;
            }
            self.fill().await?;
            self.refresh().await?;
            if !self.taken.is_empty() {
                return Ok(self.taken.drain(..).map(|taken| taken.delivery).collect());
            }
        }
    }

    /// Takes more until the batch is full or has waited long enough.
    async fn fill(&mut self) -> Result<()> {
        let clock = Arc::clone(&self.queues.clock);
        let until = clock.now() + self.options.linger;
        loop {
            let missing = self.options.prefetch.saturating_sub(self.taken.len());
            let bytes: usize = self.taken.iter().map(|taken| taken.delivery.message.payload.len()).sum();
            let wait = until.since(clock.now());
            if missing == 0 || bytes >= limits::RECEIVE_BYTES_MAX || wait.is_zero() {
                return Ok(());
            }
            self.take(missing, wait).await?;
        }
    }

    /// Takes up to `count_max` messages, waiting at most so long for the first.
    async fn take(&mut self, count_max: usize, wait: Duration) -> Result<()> {
        self.rest().await;
        let options = ReceiveOptions { count_max, hold: self.options.hold, wait };
        match self.queues.receive(&self.queue, options).await {
            Ok(deliveries) => {
                self.pauses.end();
                let now = self.queues.clock.now();
                self.taken.extend(deliveries.into_iter().map(|delivery| {
                    let hold = delivery.held_until.since(now);
                    Taken { delivery, hold }
                }));
                Ok(())
            }
            Err(error) => Err(self.refused(error)),
        }
    }

    /// Leaves a broker alone that has refused, for as long as that was to be.
    async fn rest(&mut self) {
        if let Some(until) = self.rest_until {
            self.queues.clock.sleep_until(until).await;
            self.rest_until = None;
        }
    }

    fn refused(&mut self, error: Error) -> Error {
        self.rest_until = Some(self.queues.clock.now() + self.pauses.after_refusal());
        error
    }

    /// The first of those taken whose hold has not ended.
    async fn hand_out(&mut self) -> Result<Option<Delivery>> {
        while !self.taken.is_empty() {
            let kept = self.keep(0).await?;
            let first = self.taken.pop_front();
            if kept {
                return Ok(first.map(|taken| taken.delivery));
            }
        }
        Ok(None)
    }

    /// Sees to it that all taken have enough of their hold left; those whose hold has ended are left out.
    async fn refresh(&mut self) -> Result<()> {
        let mut index = 0;
        while index < self.taken.len() {
            if self.keep(index).await? {
                index += 1;
            } else {
                self.taken.remove(index);
            }
        }
        Ok(())
    }

    /// Holds one of those taken anew when less than half of its hold is left; false when the hold has ended, and with it
    /// the right to it.
    async fn keep(&mut self, index: usize) -> Result<bool> {
        let now = self.queues.clock.now();
        if self.taken.get(index).is_some_and(|taken| taken.lasts(now)) {
            return Ok(true);
        }
        self.rest().await;
        let Some(Taken { delivery, hold }) = self.taken.get_mut(index) else { return Ok(false) };
        let hold = (*hold).max(Duration::from_millis(1));
        match self.queues.extend(&delivery.queue, delivery.id, hold).await {
            Ok(until) => {
                self.pauses.end();
                delivery.held_until = until.unwrap_or(delivery.held_until);
                Ok(until.is_some())
            }
            Err(error) => Err(self.refused(error)),
        }
    }
}

impl Taken {
    /// Whether at least half of its hold is left.
    fn lasts(&self, now: Instant) -> bool {
        let left = self.delivery.held_until.since(now);
        left * 2 >= self.hold && !left.is_zero()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        if taken.is_empty() {
            return;
        }
        let queues = self.queues.clone();
        let run = async move {
            // Together, so that one sync serves them all. One that is refused comes back when its hold runs out.
            let give_back = async |taken: &Taken| {
                let Delivery { queue, id, .. } = &taken.delivery;
                drop(queues.settle(queue, *id, End::Returned, None).await);
            };
            all(taken.iter().map(give_back)).await;
        };
        self.spawn.spawn(Work { name: "queue consumer's leftovers", run: Run::Task(Box::pin(run)) });
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Poll;

    use forebay_contract::runner::Runner;
    use forebay_core::ports::clock::Clock;

    use super::*;
    use crate::scripted::Scripted;

    const HOLD: Duration = Duration::from_secs(30);

    fn scene(options: ConsumerOptions) -> (Arc<Runner>, Arc<Scripted>, Consumer) {
        let (runner, broker) = (Runner::new(), Scripted::new(3));
        let queue = QueueName::new("q").unwrap();
        let consumer = Consumer::new(broker.queues(), queue, options, runner.clone()).unwrap();
        (runner, broker, consumer)
    }

    fn prefetch(prefetch: usize) -> ConsumerOptions {
        ConsumerOptions { prefetch, ..ConsumerOptions::default() }
    }

    fn id(delivery: &Delivery) -> &str {
        delivery.message.id.as_str()
    }

    #[test]
    fn messages_come_in_order_and_no_more_are_taken_than_asked_for() {
        let (runner, broker, mut consumer) = scene(prefetch(2));
        broker.add(&["a", "b", "c", "d"]);
        assert_eq!(broker.state.lock().ready.len(), 4, "nobody has asked");
        for (name, left) in [("a", 2), ("b", 2), ("c", 0), ("d", 0)] {
            assert_eq!(id(&runner.block_on(consumer.next()).unwrap()), name);
            assert_eq!(broker.state.lock().ready.len(), left, "after {name}");
        }
    }

    #[test]
    fn a_dropped_consumer_gives_back_what_it_has_not_handed_out() {
        let (runner, broker, mut consumer) = scene(prefetch(3));
        broker.add(&["a", "b", "c"]);
        runner.block_on(consumer.next()).unwrap();
        drop(consumer);
        runner.join();
        assert_eq!(broker.settled(), ["b return", "c return"]);
    }

    #[test]
    fn what_is_handed_out_has_half_of_its_hold_left() {
        let (runner, broker, mut consumer) = scene(prefetch(3));
        broker.add(&["a", "b", "c"]);
        runner.block_on(consumer.next()).unwrap();
        runner.pass(&broker.clock, HOLD / 2);
        runner.block_on(consumer.next()).unwrap();
        assert!(broker.state.lock().extended.is_empty(), "half is left");
        runner.pass(&broker.clock, Duration::from_millis(1));
        let last = runner.block_on(consumer.next()).unwrap();
        assert_eq!(last.held_until, broker.clock.now() + HOLD);
        assert_eq!(broker.state.lock().extended, [last.held_until]);
    }

    #[test]
    fn what_is_no_longer_held_is_not_handed_out() {
        for batch in [false, true] {
            let (runner, broker, mut consumer) = scene(prefetch(3));
            broker.add(&["a", "b", "c"]);
            runner.block_on(consumer.next()).unwrap();
            runner.pass(&broker.clock, HOLD);
            broker.change(|state| state.held.retain(|_, held| held.message.id.as_str() != "b"));
            let next = if batch {
                runner.block_on(consumer.next_batch()).unwrap().remove(0)
            } else {
                runner.block_on(consumer.next()).unwrap()
            };
            assert_eq!(id(&next), "c");
        }
    }

    #[test]
    fn a_wait_that_is_given_up_loses_nothing() {
        let (runner, broker, mut consumer) = scene(ConsumerOptions { linger: HOLD / 2, ..prefetch(3) });
        broker.add(&["a"]);
        assert!(runner.poll_once(&mut pin!(consumer.next_batch())).is_pending(), "it lingers");
        assert_eq!(broker.state.lock().held.len(), 1);
        assert_eq!(id(&runner.block_on(consumer.next()).unwrap()), "a");
    }

    #[test]
    fn a_batch_goes_out_when_it_is_full_or_has_lingered() {
        let linger = Duration::from_secs(5);
        let (runner, broker, mut consumer) = scene(ConsumerOptions { linger, ..prefetch(2) });
        broker.add(&["a", "b", "c"]);
        let batch = runner.block_on(consumer.next_batch()).unwrap();
        assert_eq!(batch.iter().map(id).collect::<Vec<_>>(), ["a", "b"]);
        let mut waiting = Box::pin(consumer.next_batch());
        assert!(runner.poll_once(&mut waiting).is_pending());
        runner.pass(&broker.clock, linger);
        let batch = runner.block_on(waiting).unwrap();
        assert_eq!(batch.iter().map(id).collect::<Vec<_>>(), ["c"]);
    }

    #[test]
    fn a_refusal_is_told_and_the_broker_is_left_alone_for_a_while() {
        let (runner, broker, mut consumer) = scene(prefetch(1));
        broker.change(|state| state.refuse_receive = Some(Kind::Full));
        assert_eq!(runner.block_on(consumer.next()).unwrap_err().kind(), Kind::Full);
        broker.add(&["a"]);
        let mut next = Box::pin(consumer.next());
        assert!(runner.poll_once(&mut next).is_pending());
        runner.pass(&broker.clock, limits::BROKER_PAUSE);
        assert_eq!(id(&runner.block_on(next).unwrap()), "a");
    }

    #[test]
    fn through_an_outage_every_error_is_told_after_a_longer_pause_and_what_was_taken_is_not_lost() {
        let (runner, broker, mut consumer) = scene(prefetch(2));
        broker.add(&["a", "b"]);
        assert_eq!(id(&runner.block_on(consumer.next()).unwrap()), "a");
        runner.pass(&broker.clock, HOLD * 2 / 3);
        // What was taken ahead must be held anew, and cannot be.
        broker.change(|state| state.down = Some(Kind::Unavailable));
        let mut told = Vec::new();
        let start = broker.clock.now();
        for _ in 0..6 {
            let mut next = Box::pin(consumer.next());
            let mut poll = runner.poll_once(&mut next);
            while poll.is_pending() {
                broker.clock.set(broker.clock.next_wake().unwrap());
                poll = runner.poll_once(&mut next);
            }
            assert!(matches!(poll, Poll::Ready(Err(error)) if error.kind() == Kind::Unavailable));
            told.push(broker.clock.now().since(start).as_millis());
        }
        assert_eq!(told, [0, 500, 1_500, 3_500, 7_500, 12_500]);
        broker.change(|state| state.down = None);
        let mut next = Box::pin(consumer.next());
        assert!(runner.poll_once(&mut next).is_pending());
        runner.pass(&broker.clock, limits::BROKER_PAUSE_MAX);
        assert_eq!(id(&runner.block_on(next).unwrap()), "b");
    }

    #[test]
    fn options_at_their_limits_are_taken_and_beyond_them_refused() {
        let new = |options| {
            let queue = QueueName::new("q").unwrap();
            Consumer::new(Scripted::new(1).queues(), queue, options, Runner::new()).map(drop)
        };
        let widest = ConsumerOptions {
            prefetch: limits::RECEIVE_DELIVERIES_MAX,
            hold: Some(limits::HOLD_MAX),
            linger: limits::RECEIVE_WAIT_MAX,
        };
        let a_bit = Duration::from_millis(1);
        assert!(new(widest).is_ok());
        for wrong in [
            ConsumerOptions { prefetch: 0, ..widest },
            ConsumerOptions { prefetch: widest.prefetch + 1, ..widest },
            ConsumerOptions { hold: Some(Duration::ZERO), ..widest },
            ConsumerOptions { hold: Some(limits::HOLD_MAX + a_bit), ..widest },
            ConsumerOptions { linger: widest.linger + a_bit, ..widest },
        ] {
            assert!(new(wrong).is_err(), "{wrong:?}");
        }
    }
}
