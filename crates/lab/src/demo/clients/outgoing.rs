//! Orders on their way into the queue: published over AMQP in batches, each confirmed as a whole.

use std::net::SocketAddr;

use forebay_core::error::{Error, Kind, Result};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Confirmation};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::session::{QUEUE, Session, failed, within};
use crate::demo::daemon::Addresses;
use crate::demo::limits;
use crate::demo::traffic::orders::Order;
use crate::demo::traffic::publisher::Outlet;

const PUBLISH: &str = "publish to queue";
/// AMQP's word for a message that outlives its broker.
const PERSISTENT: u8 = 2;

/// A publisher with a connection of its own.
pub(in crate::demo) struct QueueOutlet {
    addresses: watch::Receiver<Addresses>,
    /// In confirm mode.
    session: Option<Session>,
    backoff: Backoff,
}

impl QueueOutlet {
    /// One that connects when it is first used.
    pub(in crate::demo) fn new(addresses: watch::Receiver<Addresses>) -> Self {
        Self { addresses, session: None, backoff: Backoff::new() }
    }
}

impl Outlet for QueueOutlet {
    async fn publish(&mut self, orders: &[Order]) -> Result<()> {
        if self.backoff.lasts(Instant::now()) {
            return Err(Error::new(Kind::Unavailable, PUBLISH, "left alone for a moment"));
        }
        let (session, address) = (self.session.take(), self.addresses.borrow().amqp);
        match within(PUBLISH, publish(session, address, orders)).await {
            Ok(session) => {
                self.session = Some(session);
                self.backoff.succeeded();
                Ok(())
            }
            Err(error) => {
                self.backoff.failed(Instant::now());
                Err(error)
            }
        }
    }

    async fn rest(&self) {
        self.backoff.rest().await;
    }
}

/// Publishes everything before it waits for the first confirm, so that the daemon can sync them together. Returns the
/// session for the next time.
async fn publish(session: Option<Session>, address: SocketAddr, orders: &[Order]) -> Result<Session> {
    let session = match session {
        Some(session) => session,
        None => confirming(address).await?,
    };
    // Returned if there is no such queue, instead of confirmed and forgotten.
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let mut confirms = Vec::with_capacity(orders.len().min(limits::BATCH_ORDERS_MAX));
    for order in orders {
        let payload = json!(order).to_string();
        let sent = session.channel.basic_publish(
            // The default exchange, which routes by the queue's name.
            "".into(),
            QUEUE.into(),
            options,
            payload.as_bytes(),
            properties(order),
        );
        confirms.push(sent.await.map_err(|error| failed(PUBLISH, error))?);
    }
    for confirm in confirms {
        judge(&confirm.await.map_err(|error| failed(PUBLISH, error))?)?;
    }
    Ok(session)
}

async fn confirming(address: SocketAddr) -> Result<Session> {
    let session = Session::open(address).await?;
    let options = ConfirmSelectOptions::default();
    session.channel.confirm_select(options).await.map_err(|error| failed("ask queue for confirms", error))?;
    Ok(session)
}

fn properties(order: &Order) -> BasicProperties {
    BasicProperties::default()
        .with_message_id(order.id.as_str().into())
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
}

/// Only an acknowledgement without a returned message says that an order is in the queue.
fn judge(confirmation: &Confirmation) -> Result<()> {
    match confirmation {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(_)) => Err(Error::new(Kind::NotFound, PUBLISH, QUEUE)),
        Confirmation::Nack(_) => Err(Error::new(Kind::Full, PUBLISH, QUEUE)),
        Confirmation::NotRequested => Err(Error::new(Kind::Unsupported, PUBLISH, QUEUE)),
    }
}

#[cfg(test)]
mod tests {
    use forebay_core::error::Retry;
    use lapin::options::{BasicGetOptions, QueueDeclareOptions};
    use lapin::types::{AMQPValue, FieldTable};

    use super::*;
    use crate::demo::clients::front::Front;
    use crate::demo::clients::{scripted, session};

    fn orders() -> Vec<Order> {
        ["a", "b"].map(|id| Order { id: id.into(), product: 7 }).to_vec()
    }

    #[tokio::test]
    async fn a_published_order_says_what_it_is_and_is_to_outlive_the_broker() {
        let front = Front::start().await;
        session::declare(front.address()).await.unwrap();
        QueueOutlet::new(front.addresses()).publish(&orders()).await.unwrap();

        let session = Session::open(front.address()).await.unwrap();
        let got = session.channel.basic_get(QUEUE.into(), BasicGetOptions::default()).await.unwrap().unwrap();
        assert_eq!(got.message_count, 1, "the other order");
        assert_eq!(got.properties, properties(&orders()[0]));
        assert_eq!(got.properties.message_id().as_ref().map(|id| id.as_str()), Some("a"));
        assert_eq!(got.properties.delivery_mode(), &Some(2));
        assert_eq!(got.data, br#"{"id":"a","product":7}"#);
        front.stop().await;
    }

    #[tokio::test]
    async fn an_order_without_a_queue_to_be_in_is_not_confirmed() {
        let front = Front::start().await;
        let error = QueueOutlet::new(front.addresses()).publish(&orders()).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (Kind::NotFound, Retry::Never), "{error}");
        front.stop().await;
    }

    #[tokio::test]
    async fn one_refused_order_leaves_its_batch_unconfirmed_and_may_be_tried_again() {
        let front = Front::start().await;
        let session = Session::open(front.address()).await.unwrap();
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
        arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
        let options = QueueDeclareOptions::durable();
        session.channel.queue_declare(QUEUE.into(), options, arguments).await.unwrap();
        let error = QueueOutlet::new(front.addresses()).publish(&orders()).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (Kind::Full, Retry::Later), "{error}");
        front.stop().await;
    }

    #[tokio::test]
    async fn a_publisher_whose_daemon_went_away_finds_the_next_one() {
        let front = Front::start().await;
        session::declare(front.address()).await.unwrap();
        let mut outlet = QueueOutlet::new(front.addresses());
        outlet.publish(&orders()).await.unwrap();
        let front = front.restarted().await;
        while let Err(error) = outlet.publish(&orders()).await {
            assert_eq!(error.retry(), Retry::Later, "{error}");
            outlet.rest().await;
        }
        front.stop().await;
    }

    #[tokio::test]
    async fn a_daemon_that_is_away_is_left_alone_for_a_moment_and_then_tried_again() {
        let mut outlet = QueueOutlet::new(scripted::nobody().await);
        assert!(outlet.publish(&orders()).await.is_err());
        let error = outlet.publish(&orders()).await.unwrap_err();
        assert!(error.to_string().contains("left alone"), "{error}");
        outlet.rest().await;
        let error = outlet.publish(&orders()).await.unwrap_err();
        assert!(!error.to_string().contains("left alone"), "{error}");
    }
}
