//! What a broken broker does wrong when it is opened again.

use forebay_core::delivery::{Delivery, Outcome};
use forebay_core::error::{Kind, Result};
use forebay_core::message::Message;
use forebay_core::ports::broker::{Broker, BrokerAdmin, Receive};
use forebay_core::ports::clock::Clock;
use forebay_core::queue::QueueName;

use crate::broken::Broken;
use crate::fault::Fault;

impl Broken {
    /// What it does wrong when it is opened again.
    pub(crate) async fn begin_again(&self) -> Result<()> {
        let (queues, published, delivered, settled) = {
            let known = self.known.lock();
            let queues = known.queues.clone();
            (queues, known.published.clone(), known.delivered.clone(), known.settled.clone())
        };
        self.known.lock().late.clear();
        let put = async |queue: &QueueName, message: Message| {
            let at_once = Message { not_before: None, dedup_id: None, ..message };
            self.broker.publish(queue, vec![at_once]).await.map(drop)
        };
        match self.fault() {
            Fault::LosesHolds => {
                for delivery in &delivered {
                    let end = Outcome::Return { seen: false };
                    self.broker.settle(&delivery.queue, delivery.id, end, None).await?;
                }
            }
            Fault::LosesDelays => {
                for (queue, message) in
                    published.into_iter().filter(|(_, message)| message.not_before.is_some())
                {
                    put(&queue, message).await?;
                }
            }
            Fault::LosesRetries => {
                let retried = |delivery: &&Delivery| {
                    settled.iter().any(|(id, end)| *id == delivery.id && matches!(end, Outcome::RetryAt(_)))
                };
                for delivery in delivered.iter().filter(retried) {
                    put(&delivery.queue, (*delivery.message).clone()).await?;
                }
            }
            Fault::RedeliversWhatWasDone => {
                for delivery in
                    delivered.iter().filter(|delivery| settled.contains(&(delivery.id, Outcome::Done)))
                {
                    put(&delivery.queue, (*delivery.message).clone()).await?;
                }
            }
            Fault::LosesOrder | Fault::LosesPriorities => {
                for queue in &queues {
                    let mut messages = self.take_all(queue).await?;
                    messages.reverse();
                    for mut message in messages {
                        message.priority = if self.is(Fault::LosesPriorities) { 0 } else { message.priority };
                        put(queue, message).await?;
                    }
                }
            }
            Fault::LosesDeadLetters => {
                let taken = self.take_all(&QueueName::new("d")?).await;
                taken
                    .map(drop)
                    .or_else(|error| if error.kind() == Kind::NotFound { Ok(()) } else { Err(error) })?;
            }
            Fault::BringsBackWhatWasReplaced => {
                if let Some((queue, message)) = published.into_iter().next() {
                    put(&queue, message).await?;
                }
            }
            Fault::PurgesForNow | Fault::RedrivesIntoBoth => {
                let both = {
                    let mut known = self.known.lock();
                    let purged = std::mem::take(&mut known.purged);
                    purged.into_iter().chain(std::mem::take(&mut known.redriven)).collect::<Vec<_>>()
                };
                for (queue, message) in both {
                    put(&queue, message).await?;
                }
            }
            Fault::ForgetsPauses => {
                let paused = std::mem::take(&mut self.known.lock().paused);
                for queue in paused {
                    self.broker.pause(&queue, false).await?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes all that is ready away.
    pub(crate) async fn take_all(&self, queue: &QueueName) -> Result<Vec<Message>> {
        let asked = Receive { count_max: 1_000, hold: None, wait_until: self.clock.now() };
        let taken = self.broker.receive(queue, asked).await?;
        for delivery in &taken {
            self.broker.settle(queue, delivery.id, Outcome::Done, None).await?;
        }
        Ok(taken.into_iter().map(|delivery| (*delivery.message).clone()).collect())
    }
}
