//! Orders on their way out of the queue: consumed over AMQP one by one, each in hand until it is acknowledged.

use std::net::SocketAddr;

use forebay_core::error::{Error, Kind, Result};
use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Acker, Consumer};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::backoff::Backoff;
use super::session::{QUEUE, Session, failed, within};
use crate::demo::daemon::Addresses;
use crate::demo::limits;
use crate::demo::traffic::orders::Order;
use crate::demo::traffic::workers::Inlet;

const RECEIVE: &str = "receive from queue";
/// One order for each worker: the others find one as well.
const PREFETCH: u16 = 1;

/// A consumer with a connection of its own.
pub(in crate::demo) struct QueueInlet {
    addresses: watch::Receiver<Addresses>,
    consuming: Option<Consuming>,
    backoff: Backoff,
}

/// A consumer that is subscribed. Dropped, its connection ends, and what was not acknowledged comes again.
struct Consuming {
    deliveries: Consumer,
    /// The order given out last, until it is acknowledged.
    in_hand: Option<Acker>,
    _session: Session,
}

impl QueueInlet {
    /// One that connects when it is first used.
    pub(in crate::demo) fn new(addresses: watch::Receiver<Addresses>) -> Self {
        Self { addresses, consuming: None, backoff: Backoff::new() }
    }

    /// After an error there is no consumer any more: one that may be deaf is worse than none.
    async fn next(&mut self) -> Result<Option<Order>> {
        let mut consuming = match self.consuming.take() {
            Some(consuming) => consuming,
            None => {
                let address = self.addresses.borrow().amqp;
                within(RECEIVE, subscribe(address)).await?
            }
        };
        let order = match timeout(limits::RECEIVE_WAIT, consuming.deliveries.next()).await {
            Err(_) => None,
            Ok(Some(delivery)) => {
                let delivery = delivery.map_err(|error| failed(RECEIVE, error))?;
                consuming.in_hand = Some(delivery.acker);
                Some(read(&delivery.data)?)
            }
            Ok(None) => {
                return Err(Error::new(Kind::Unavailable, RECEIVE, "orders: the consumer was cancelled"));
            }
        };
        self.consuming = Some(consuming);
        Ok(order)
    }
}

impl Inlet for QueueInlet {
    async fn receive(&mut self) -> Result<Option<Order>> {
        if self.backoff.lasts(Instant::now()) {
            return Err(Error::new(Kind::Unavailable, RECEIVE, "left alone for a moment"));
        }
        let outcome = self.next().await;
        match &outcome {
            Ok(_) => self.backoff.succeeded(),
            Err(_) => self.backoff.failed(Instant::now()),
        }
        outcome
    }

    async fn acknowledge(&mut self) {
        let in_hand = self.consuming.as_mut().and_then(|consuming| consuming.in_hand.take());
        let Some(acker) = in_hand else { return };
        let said = timeout(limits::QUEUE_ANSWER_MAX, acker.ack(BasicAckOptions::default())).await;
        if !matches!(said, Ok(Ok(true))) {
            // On this connection the daemon would wait for ever, and send nothing until then.
            self.consuming = None;
        }
    }

    async fn rest(&self) {
        self.backoff.rest().await;
    }
}

async fn subscribe(address: SocketAddr) -> Result<Consuming> {
    let session = Session::open(address).await?;
    let wrong = |error| failed("subscribe to queue", error);
    session.channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.map_err(wrong)?;
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    // An empty tag lets the daemon choose one.
    let deliveries = session.channel.basic_consume(QUEUE.into(), "".into(), options, arguments).await;
    Ok(Consuming { deliveries: deliveries.map_err(wrong)?, in_hand: None, _session: session })
}

fn read(payload: &[u8]) -> Result<Order> {
    serde_json::from_slice(payload)
        .map_err(|error| Error::new(Kind::Damaged, "read order from queue", QUEUE).because(error))
}

#[cfg(test)]
mod tests {
    use forebay_core::error::Retry;
    use lapin::options::QueueDeleteOptions;

    use super::*;
    use crate::demo::clients::front::Front;
    use crate::demo::clients::outgoing::QueueOutlet;
    use crate::demo::clients::session;
    use crate::demo::traffic::publisher::Outlet;

    fn order(id: &str) -> Order {
        Order { id: id.into(), product: 7 }
    }

    async fn front_with(orders: &[Order]) -> Front {
        let front = Front::start().await;
        session::declare(front.address()).await.unwrap();
        QueueOutlet::new(front.addresses()).publish(orders).await.unwrap();
        front
    }

    /// Receives until there is an order, as a worker does.
    async fn received(inlet: &mut QueueInlet) -> Order {
        loop {
            match inlet.receive().await {
                Ok(Some(order)) => return order,
                Ok(None) => {}
                Err(error) => {
                    assert_eq!(error.retry(), Retry::Later, "{error}");
                    inlet.rest().await;
                }
            }
        }
    }

    #[tokio::test]
    async fn orders_come_one_by_one_and_the_next_only_after_an_acknowledgement() {
        let front = front_with(&[order("a"), order("b")]).await;
        let mut inlet = QueueInlet::new(front.addresses());
        assert_eq!(received(&mut inlet).await, order("a"));
        assert_eq!(inlet.receive().await.unwrap(), None, "one is in hand");
        inlet.acknowledge().await;
        assert_eq!(received(&mut inlet).await, order("b"));
        inlet.acknowledge().await;
        assert_eq!(inlet.receive().await.unwrap(), None, "an empty queue is no error");
        front.stop().await;
    }

    #[tokio::test]
    async fn an_order_in_hand_when_the_daemon_went_away_comes_again() {
        let front = front_with(&[order("a")]).await;
        let mut inlet = QueueInlet::new(front.addresses());
        assert_eq!(received(&mut inlet).await, order("a"));
        let front = front.restarted().await;
        inlet.acknowledge().await;
        assert_eq!(received(&mut inlet).await, order("a"), "nobody heard the acknowledgement");
        inlet.acknowledge().await;
        assert_eq!(inlet.receive().await.unwrap(), None);
        front.stop().await;
    }

    #[tokio::test]
    async fn an_order_in_the_hand_of_a_worker_that_is_gone_is_anothers() {
        let front = front_with(&[order("a")]).await;
        let mut gone = QueueInlet::new(front.addresses());
        assert_eq!(received(&mut gone).await, order("a"));
        drop(gone);
        assert_eq!(received(&mut QueueInlet::new(front.addresses())).await, order("a"));
        front.stop().await;
    }

    #[tokio::test]
    async fn a_consumer_whose_queue_is_gone_says_so() {
        let front = front_with(&[]).await;
        let mut inlet = QueueInlet::new(front.addresses());
        assert_eq!(inlet.receive().await.unwrap(), None);
        let session = Session::open(front.address()).await.unwrap();
        session.channel.queue_delete(QUEUE.into(), QueueDeleteOptions::default()).await.unwrap();
        let mut ended = inlet.receive().await;
        while !ended.as_ref().is_err_and(|error| error.kind() == Kind::NotFound) {
            inlet.rest().await;
            ended = inlet.receive().await;
        }
        front.stop().await;
    }
}
