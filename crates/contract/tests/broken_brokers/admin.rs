//! The administration of a broken broker.

use forebay_core::delivery::{Delivery, Outcome};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::message::MessageId;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{
    Broker, BrokerAdmin, Found, Peeked, Place, QueueInfo, Receive, ReplayFrom, Replayed,
};
use forebay_core::ports::clock::Clock;
use forebay_core::queue::QueueName;

use crate::broken::Broken;
use crate::fault::Fault;

const ALL: usize = 1_000;

impl Broken {
    fn info(&self, mut info: QueueInfo) -> QueueInfo {
        if self.is(Fault::CountsNoHeld) {
            info.stats.held = 0;
        }
        info
    }

    async fn take_first(&self, queue: &QueueName) -> Result<()> {
        let asked = Receive { count_max: 1, hold: None, wait_until: self.clock.now() };
        self.broker.receive(queue, asked).await.map(drop)
    }

    fn nowhere_is_empty<T>(&self, result: Result<T>, empty: T) -> Result<T> {
        match result {
            Err(error) if error.kind() == Kind::NotFound && self.is(Fault::NowhereIsEmpty) => Ok(empty),
            result => result,
        }
    }

    fn held(&self, queue: &QueueName) -> Vec<Delivery> {
        let known = self.known.lock();
        let of = |delivery: &&Delivery| delivery.queue == *queue;
        known.delivered.iter().filter(of).cloned().collect()
    }
}

impl BrokerAdmin for Broken {
    fn queues(&self) -> BoxFuture<'_, Result<Vec<QueueInfo>>> {
        Box::pin(async move {
            let infos = self.broker.queues().await?;
            Ok(infos.into_iter().map(|info| self.info(info)).collect())
        })
    }

    fn queue<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<QueueInfo>> {
        Box::pin(async move { self.broker.queue(queue).await.map(|info| self.info(info)) })
    }

    fn peek<'a>(&'a self, queue: &'a QueueName, count_max: usize) -> BoxFuture<'a, Result<Vec<Peeked>>> {
        Box::pin(async move {
            let looked = self.broker.peek(queue, count_max).await?;
            if self.is(Fault::LooksTake) {
                self.take_first(queue).await?;
            }
            Ok(looked)
        })
    }

    fn purge<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            self.catch_up().await;
            let stats = match self.broker.queue(queue).await {
                Err(error) if error.kind() == Kind::NotFound && self.is(Fault::NowhereIsEmpty) => {
                    return Ok(0);
                }
                info => info?.stats,
            };
            match self.fault() {
                Fault::PurgesNothing => return Ok(stats.ready + stats.delayed),
                Fault::PurgesReady => {
                    self.take_all(queue).await?;
                    return Ok(stats.ready + stats.delayed);
                }
                Fault::PurgesHeld => {
                    for held in self.held(queue) {
                        self.broker.settle(queue, held.id, Outcome::Done, None).await?;
                    }
                }
                Fault::PurgesForNow => {
                    let messages = self.take_all(queue).await?;
                    let purged = messages.into_iter().map(|message| (queue.clone(), message));
                    self.known.lock().purged.extend(purged);
                    return Ok(stats.ready + stats.delayed);
                }
                Fault::ReplaysWhatWasNotDone => {
                    self.take_all(queue).await?;
                }
                _ => {}
            }
            self.broker.purge(queue).await
        })
    }

    fn redrive<'a>(&'a self, queue: &'a QueueName, count_max: usize) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            self.catch_up().await;
            if self.is(Fault::RedrivesIntoBoth) {
                let there = self.broker.peek(queue, ALL).await?;
                let both = there.into_iter().map(|one| (queue.clone(), (*one.delivery.message).clone()));
                self.known.lock().redriven.extend(both);
            }
            let count_max = if self.is(Fault::RedrivesAll) { ALL } else { count_max };
            let redriven = self.broker.redrive(queue, count_max).await?;
            if self.is(Fault::RedrivesIntoNothing) {
                self.broker.purge(queue).await?;
            }
            Ok(redriven)
        })
    }

    fn find<'a>(&'a self, queue: &'a QueueName, id: &'a MessageId) -> BoxFuture<'a, Result<Option<Found>>> {
        Box::pin(async move {
            self.catch_up().await;
            let found = self.nowhere_is_empty(self.broker.find(queue, id).await, None)?;
            let known = self.held(queue).into_iter().find(|known| known.message.id == *id);
            match self.fault() {
                Fault::FindTakes => {
                    self.take_first(queue).await?;
                    Ok(found)
                }
                Fault::FindsReady => Ok(found.filter(|found| found.place == Place::Ready)),
                Fault::FindsNewest => {
                    let newest = self.broker.peek(queue, ALL).await?;
                    let newest = newest.into_iter().rfind(|one| one.delivery.message.id == *id);
                    Ok(newest.map(|one| Found { delivery: one.delivery, place: Place::Ready }).or(found))
                }
                Fault::FindsFinished => {
                    Ok(found.or(known.map(|delivery| Found { delivery, place: Place::Ready })))
                }
                _ => Ok(found),
            }
        })
    }

    fn pause<'a>(&'a self, queue: &'a QueueName, paused: bool) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.catch_up().await;
            if paused && self.is(Fault::PausesNothing) {
                return Ok(());
            }
            if paused && self.is(Fault::PausesSettling) {
                for held in self.held(queue) {
                    self.broker.settle(queue, held.id, Outcome::Return { seen: false }, None).await?;
                }
            }
            self.nowhere_is_empty(self.broker.pause(queue, paused).await, ())?;
            self.known.lock().paused.push(queue.clone());
            Ok(())
        })
    }

    fn replay<'a>(
        &'a self,
        queue: &'a QueueName,
        mut from: ReplayFrom,
        count_max: usize,
    ) -> BoxFuture<'a, Result<Vec<Replayed>>> {
        Box::pin(async move {
            self.catch_up().await;
            if self.is(Fault::ReplaysAll) {
                from = ReplayFrom::Position(0);
            }
            let replayed = self.broker.replay(queue, from, count_max).await;
            match self.fault() {
                Fault::ReplayTakes => self.take_first(queue).await?,
                Fault::ForgetsRetained if self.forgets(Fault::ForgetsRetained) => return Ok(Vec::new()),
                Fault::RefusesNothing => {
                    return replayed.or_else(|error| match error.kind() {
                        Kind::Unsupported => Ok(Vec::new()),
                        _ => Err(error),
                    });
                }
                _ => {}
            }
            replayed
        })
    }

    fn delete<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.catch_up().await;
            if self.is(Fault::DeletesMessages) {
                return self.broker.purge(queue).await.map(drop);
            }
            self.broker.delete(queue).await.map_err(|error: Error| self.tell(error))
        })
    }
}
