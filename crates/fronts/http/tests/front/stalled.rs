//! What a request keeps while the broker takes its time.

use std::future::pending;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use forebay_core::delivery::{Delivery, DeliveryId, Outcome, Settled};
use forebay_core::error::Result;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{Broker, BrokerCapabilities, Held, Receive};
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_core::time::Instant;
use serde_json::json;

use crate::served::{PATIENCE, Served};

/// A broker that never answers, and tells when it was given messages. It closes with the real one.
pub(crate) struct Stalled {
    pub(crate) real: Arc<dyn Broker>,
    pub(crate) published: Sender<usize>,
}

impl Broker for Stalled {
    fn capabilities(&self) -> BrokerCapabilities {
        BrokerCapabilities::NONE
    }

    fn ensure<'a>(&'a self, _: &'a QueueSettings) -> BoxFuture<'a, Result<()>> {
        Box::pin(pending())
    }

    fn publish<'a>(
        &'a self,
        _: &'a QueueName,
        messages: Vec<Message>,
    ) -> BoxFuture<'a, Result<Vec<MessageId>>> {
        self.published.send(messages.len()).unwrap();
        Box::pin(pending())
    }

    fn receive<'a>(&'a self, _: &'a QueueName, _: Receive) -> BoxFuture<'a, Result<Vec<Delivery>>> {
        Box::pin(pending())
    }

    fn settle<'a>(
        &'a self,
        _: &'a QueueName,
        _: DeliveryId,
        _: Outcome,
        _: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Settled>> {
        Box::pin(pending())
    }

    fn held<'a>(&'a self, _: &'a QueueName, _: DeliveryId) -> BoxFuture<'a, Result<Option<Held>>> {
        Box::pin(pending())
    }

    fn extend<'a>(
        &'a self,
        _: &'a QueueName,
        _: DeliveryId,
        _: Duration,
    ) -> BoxFuture<'a, Result<Option<Instant>>> {
        Box::pin(pending())
    }

    fn expired(&self) -> BoxFuture<'_, Result<Vec<Delivery>>> {
        self.real.expired()
    }
}

#[test]
fn a_publish_counts_against_the_bodies_until_it_is_answered_or_its_client_is_gone() {
    let (published, told) = channel();
    let served = Served::start_on(
        |real| Arc::new(Stalled { real, published }),
        |options| options.bodies_bytes_max = 64 * 1024,
    );
    let body = json!({ "payload": "x".repeat(50 * 1024) }).to_string();
    let json = [("content-type", "application/json")];
    let publishing = served.send("POST", "/v1/queues/q/messages", &json, body.as_bytes());
    assert_eq!(told.recv_timeout(PATIENCE), Ok(1), "all of it has arrived and been read");
    let put = || served.ask("PUT", "/v1/cache/k", &[], &[7; 20 * 1024]).status;
    assert_eq!(put(), 429);
    drop(publishing);
    // There is room again once the front has noticed.
    while put() != 204 {}
}
