//! Deliveries whose consumer went silent: they end by the same door as all others.

use forebay_core::delivery::{Delivery, End};
use forebay_core::error::Kind;
use forebay_core::ports::clock::{Run, Work};

use crate::pauses::Pauses;
use crate::queues::Queues;
use crate::race::all;

impl Queues {
    /// Settles every delivery whose hold runs out, until the broker is closed; one that refuses for another reason is
    /// asked again after a pause. Run it once for each broker that declares the capability `expired`.
    pub fn expirer(&self) -> Work {
        let queues = self.clone();
        Work { name: "queue expirer", run: Run::Task(Box::pin(async move { queues.expire().await })) }
    }

    async fn expire(&self) {
        let mut pauses = Pauses::default();
        loop {
            match self.broker.expired().await {
                Ok(deliveries) => {
                    pauses.end();
                    // Together, so that one sync of the log serves them all. A refusal is not lost: the broker
                    // offers again what was not settled.
                    let settle = async |delivery: &Delivery| {
                        let _ = self.end(&delivery.queue, delivery.id, End::Expired, None).await;
                    };
                    all(deliveries.iter().map(settle)).await;
                }
                Err(error) if error.kind() == Kind::Closed => return,
                Err(_) => self.clock.sleep_until(self.clock.now() + pauses.after_refusal()).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use forebay_contract::runner::Runner;
    use forebay_core::error::Kind;
    use forebay_core::limits;
    use forebay_core::ports::clock::{Clock, Spawn};
    use forebay_core::queue::QueueName;

    use crate::deliver::ReceiveOptions;
    use crate::scripted::Scripted;

    #[test]
    fn ended_holds_are_settled_as_expired_until_the_broker_closes() {
        let (runner, broker) = (Runner::new(), Scripted::new(1));
        let queue = QueueName::new("q").unwrap();
        broker.add(&["a", "b"]);
        let options = ReceiveOptions { count_max: 2, ..ReceiveOptions::default() };
        let held = runner.block_on(broker.queues().receive(&queue, options)).unwrap();
        runner.spawn(broker.queues().expirer());
        runner.run_until_idle();
        assert!(broker.settled().is_empty());
        broker.change(|state| state.expired = held);
        runner.run_until_idle();
        assert_eq!(broker.settled(), ["a attempts_spent", "b attempts_spent"]);
        broker.change(|state| state.closed = true);
        runner.join();
    }

    #[test]
    fn an_outage_or_poison_is_survived_and_asked_about_less_and_less_often() {
        for kind in [Kind::Unavailable, Kind::Poisoned] {
            let (runner, broker) = (Runner::new(), Scripted::new(1));
            let queue = QueueName::new("q").unwrap();
            broker.add(&["a"]);
            let held = runner.block_on(broker.queues().receive(&queue, ReceiveOptions::default())).unwrap();
            broker.change(|state| {
                state.down = Some(kind);
                state.asked.clear();
            });
            let start = broker.clock.now();
            runner.spawn(broker.queues().expirer());
            runner.pass(&broker.clock, Duration::from_secs(60));
            let asked =
                broker.state.lock().asked.iter().map(|at| at.since(start).as_millis()).collect::<Vec<_>>();
            assert_eq!(asked[..6], [0, 500, 1_500, 3_500, 7_500, 12_500], "{kind:?}");
            assert_eq!(asked.len(), 15, "every five seconds from then on");
            broker.change(|state| {
                state.down = None;
                state.expired = held;
            });
            runner.pass(&broker.clock, limits::BROKER_PAUSE_MAX);
            assert_eq!(broker.settled(), ["a attempts_spent"]);
            broker.change(|state| state.down = Some(kind));
            let before = broker.state.lock().asked.len();
            runner.pass(&broker.clock, limits::BROKER_PAUSE);
            assert_eq!(broker.state.lock().asked.len(), before + 1, "the pauses begin anew");
            broker.change(|state| state.closed = true);
            runner.pass(&broker.clock, limits::BROKER_PAUSE_MAX);
            runner.join();
        }
    }
}
