//! Orders over the HTTP API, on whatever broker the daemon was given: published in batches, taken one by one.

use forebay_core::error::{Error, Kind, Result};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::http::Http;
use super::session::{within, within_time};
use crate::demo::daemon::Addresses;
use crate::demo::limits;
use crate::demo::traffic::orders::Order;
use crate::demo::traffic::publisher::Outlet;
use crate::demo::traffic::workers::Inlet;

const DECLARE: &str = "declare queue";
const LOOK: &str = "look for queue";
const PUBLISH: &str = "publish to queue";
const RECEIVE: &str = "receive from queue";
const ACKNOWLEDGE: &str = "acknowledge order of queue";
const DELETE: &str = "delete queue";

/// Declares the queue. What a killed daemon had in hand shall come again while the demo lasts.
pub(super) async fn declare(addresses: watch::Receiver<Addresses>, path: &str) -> Result<()> {
    let hold = u64::try_from(limits::HTTP_HOLD.as_millis()).unwrap_or(u64::MAX);
    let (body, expected) = (json!({ "hold_ms": hold }), [StatusCode::OK, StatusCode::CREATED]);
    let mut http = Http::new(addresses);
    let asked = http.ask(DECLARE, (Method::PUT, path), Some(&body), &expected);
    within_time(limits::DECLARE_ANSWER_MAX, DECLARE, asked).await.map(drop)
}

/// Asks for a sign of life: that the queue, declared before, is there.
pub(super) async fn ping(addresses: watch::Receiver<Addresses>, path: &str) -> Result<()> {
    let mut http = Http::new(addresses);
    within(LOOK, http.ask(LOOK, (Method::GET, path), None, &[StatusCode::OK])).await.map(drop)
}

/// Deletes it.
pub(super) async fn delete(addresses: watch::Receiver<Addresses>, path: &str) -> Result<()> {
    let mut http = Http::new(addresses);
    within(DELETE, http.ask(DELETE, (Method::DELETE, path), None, &[StatusCode::NO_CONTENT])).await.map(drop)
}

/// A publisher.
pub(in crate::demo) struct HttpOutlet {
    http: Http,
    path: String,
    backoff: Backoff,
}

impl HttpOutlet {
    /// One that connects when it is first used, to the queue at `path`.
    pub(super) fn new(addresses: watch::Receiver<Addresses>, path: &str) -> Self {
        Self { http: Http::new(addresses), path: format!("{path}/messages"), backoff: Backoff::new() }
    }
}

impl Outlet for HttpOutlet {
    async fn publish(&mut self, orders: &[Order]) -> Result<()> {
        if self.backoff.lasts(Instant::now()) {
            return Err(Error::new(Kind::Unavailable, PUBLISH, "left alone for a moment"));
        }
        let messages: Vec<Value> = orders.iter().map(message).collect();
        let body = json!({ "messages": messages });
        let asked = (Method::POST, self.path.as_str());
        let published =
            within(PUBLISH, self.http.ask(PUBLISH, asked, Some(&body), &[StatusCode::CREATED])).await;
        note(&mut self.backoff, published.map(drop))
    }

    async fn rest(&self) {
        self.backoff.rest().await;
    }
}

fn message(order: &Order) -> Value {
    json!({ "id": order.id, "content_type": "application/json", "payload": json!(order).to_string() })
}

fn note<T>(backoff: &mut Backoff, outcome: Result<T>) -> Result<T> {
    match &outcome {
        Ok(_) => backoff.succeeded(),
        Err(_) => backoff.failed(Instant::now()),
    }
    outcome
}

#[derive(Deserialize)]
struct Deliveries {
    deliveries: Vec<Delivery>,
}

#[derive(Deserialize)]
struct Delivery {
    delivery: String,
    payload: String,
}

/// A consumer.
pub(in crate::demo) struct HttpInlet {
    http: Http,
    path: String,
    in_hand: Option<String>,
    backoff: Backoff,
}

impl HttpInlet {
    /// One that connects when it is first used, to the queue at `path`.
    pub(super) fn new(addresses: watch::Receiver<Addresses>, path: &str) -> Self {
        Self { http: Http::new(addresses), path: path.to_owned(), in_hand: None, backoff: Backoff::new() }
    }

    async fn next(&mut self) -> Result<Option<Order>> {
        let wait = u64::try_from(limits::RECEIVE_WAIT.as_millis()).unwrap_or(u64::MAX);
        let path = format!("{}/receive", self.path);
        let body = json!({ "count_max": 1, "wait_ms": wait });
        let asked = self.http.ask(RECEIVE, (Method::POST, &path), Some(&body), &[StatusCode::OK]);
        let answer = within(RECEIVE, asked).await?;
        let wrong = |error| Error::new(Kind::Damaged, "read order from queue", &self.path).because(error);
        let Deliveries { deliveries } = serde_json::from_slice(&answer.body).map_err(wrong)?;
        let Some(delivery) = deliveries.into_iter().next() else { return Ok(None) };
        let order = serde_json::from_str(&delivery.payload).map_err(wrong)?;
        self.in_hand = Some(delivery.delivery);
        Ok(Some(order))
    }
}

impl Inlet for HttpInlet {
    async fn receive(&mut self) -> Result<Option<Order>> {
        if self.backoff.lasts(Instant::now()) {
            return Err(Error::new(Kind::Unavailable, RECEIVE, "left alone for a moment"));
        }
        let outcome = self.next().await;
        note(&mut self.backoff, outcome)
    }

    async fn acknowledge(&mut self) {
        let Some(delivery) = self.in_hand.take() else { return };
        let path = format!("{}/deliveries/{delivery}/ack", self.path);
        let expected = [StatusCode::NO_CONTENT, StatusCode::CONFLICT];
        let asked = self.http.ask(ACKNOWLEDGE, (Method::POST, &path), None, &expected);
        // One that is lost on the way is fine: the order comes again and is known by then.
        drop(within(ACKNOWLEDGE, asked).await);
    }

    async fn rest(&self) {
        self.backoff.rest().await;
    }
}

#[cfg(test)]
mod tests {
    use forebay_core::error::Retry;

    use super::*;
    use crate::demo::clients::scripted;

    const PATH: &str = "/v1/queues/orders";

    async fn daemon(status: u16, body: &'static str) -> watch::Receiver<Addresses> {
        let http = scripted::http(status, body).await;
        let addresses = Addresses { http, ..*scripted::nobody().await.borrow() };
        watch::channel(addresses).1
    }

    fn order() -> Order {
        Order { id: "a".into(), product: 7 }
    }

    #[tokio::test]
    async fn only_created_is_a_confirm() {
        let mut outlet = HttpOutlet::new(daemon(201, r#"{"ids":["a"]}"#).await, PATH);
        outlet.publish(&[order()]).await.unwrap();
        let mut outlet = HttpOutlet::new(daemon(200, "{}").await, PATH);
        assert_eq!(outlet.publish(&[order()]).await.unwrap_err().retry(), Retry::Never);
        let mut outlet = HttpOutlet::new(daemon(503, "{}").await, PATH);
        assert_eq!(outlet.publish(&[order()]).await.unwrap_err().retry(), Retry::Later);
        let mut outlet = HttpOutlet::new(scripted::nobody().await, PATH);
        assert_eq!(outlet.publish(&[order()]).await.unwrap_err().retry(), Retry::Later);
        let error = outlet.publish(&[order()]).await.unwrap_err();
        assert!(error.to_string().contains("left alone"), "{error}");
    }

    #[tokio::test]
    async fn an_order_is_in_hand_until_it_is_acknowledged() {
        let body = r#"{"deliveries":[{"delivery":"1-2","payload":"{\"id\":\"a\",\"product\":7}"}]}"#;
        let mut inlet = HttpInlet::new(daemon(200, body).await, PATH);
        assert_eq!(inlet.receive().await.unwrap(), Some(order()));
        assert_eq!(inlet.in_hand.as_deref(), Some("1-2"));
        inlet.acknowledge().await;
        assert_eq!(inlet.in_hand, None);
        let mut inlet = HttpInlet::new(daemon(200, r#"{"deliveries":[]}"#).await, PATH);
        assert_eq!(inlet.receive().await.unwrap(), None);
    }
}
