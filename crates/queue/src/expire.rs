//! Deliveries whose consumer went silent: they end by the same door as all others.

use forebay_core::delivery::{Delivery, End};
use forebay_core::error::Kind;
use forebay_core::limits;
use forebay_core::ports::clock::{Run, Work};

use crate::queues::Queues;
use crate::race::all;

impl Queues {
    /// Settles every delivery whose hold runs out, until the broker is closed. Run it once for each broker that
    /// declares the capability `expired`.
    pub fn expirer(&self) -> Work {
        let queues = self.clone();
        Work { name: "queue expirer", run: Run::Task(Box::pin(async move { queues.expire().await })) }
    }

    async fn expire(&self) {
        loop {
            match self.broker.expired().await {
                Ok(deliveries) => {
                    // Together, so that one sync of the log serves them all. A refusal is not lost: the broker
                    // offers again what was not settled.
                    let settle = async |delivery: &Delivery| {
                        let _ = self.end(&delivery.queue, delivery.id, End::Expired, None).await;
                    };
                    all(deliveries.iter().map(settle)).await;
                }
                Err(error) if error.kind() == Kind::Unavailable => return,
                Err(_) => self.clock.sleep_until(self.clock.now() + limits::BROKER_PAUSE).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use forebay_contract::runner::Runner;
    use forebay_core::ports::clock::Spawn;
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
}
