//! A small client of the daemon's HTTP queues: one connection, one request at a time.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use forebay_core::error::{Error, Kind, Result};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::backoff::Backoff;
use crate::demo::daemon::Addresses;
use crate::demo::limits;
use crate::demo::traffic::orders::Order;

const QUEUE: &str = "/v1/queues/orders";

/// A client of the queue `orders`.
#[derive(Debug)]
pub(in crate::demo) struct QueueClient {
    addresses: watch::Receiver<Addresses>,
    connection: Option<Connection>,
    backoff: Backoff,
}

/// One order in our hands, until it is acknowledged or its hold ends.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::demo) struct Delivery {
    /// Names this hold.
    pub(in crate::demo) id: String,
    /// What was ordered.
    pub(in crate::demo) order: Order,
}

#[derive(Deserialize)]
struct Received {
    deliveries: Vec<ReceivedDelivery>,
}

#[derive(Deserialize)]
struct ReceivedDelivery {
    delivery: String,
    payload: String,
}

#[derive(Deserialize)]
struct Depth {
    ready: u64,
    held: u64,
    delayed: u64,
}

struct Answer {
    status: StatusCode,
    body: Bytes,
}

impl QueueClient {
    /// A client that connects when it is first used.
    pub(in crate::demo) fn new(addresses: watch::Receiver<Addresses>) -> Self {
        Self { addresses, connection: None, backoff: Backoff::new() }
    }

    /// Declares the queue with its default settings.
    pub(in crate::demo) async fn declare(&mut self) -> Result<()> {
        let answer = self.ask(Method::PUT, "", Some(json!({})), Duration::ZERO).await?;
        expect("declare queue", &answer, &[StatusCode::CREATED, StatusCode::OK])
    }

    /// Publishes `orders`. `Ok`: all of them are confirmed. `Err`: some of them may be in the queue all the same.
    pub(in crate::demo) async fn publish(&mut self, orders: &[Order]) -> Result<()> {
        let message = |order: &Order| {
            let payload = json!(order).to_string();
            json!({ "id": order.id, "content_type": "application/json", "payload": payload })
        };
        let body = json!({ "messages": orders.iter().map(message).collect::<Vec<_>>() });
        let answer = self.ask(Method::POST, "/messages", Some(body), Duration::ZERO).await?;
        expect("publish to queue", &answer, &[StatusCode::CREATED])
    }

    /// Takes one order, waiting a moment for it; `None` if there was none.
    pub(in crate::demo) async fn receive(&mut self) -> Result<Option<Delivery>> {
        let (wait, hold) = (limits::RECEIVE_WAIT, limits::WORK_HOLD);
        let body = json!({ "count_max": 1, "wait_ms": millis(wait), "hold_ms": millis(hold) });
        let answer = self.ask(Method::POST, "/receive", Some(body), wait).await?;
        expect("receive from queue", &answer, &[StatusCode::OK])?;
        let received: Received = parse("receive from queue", &answer.body)?;
        let Some(first) = received.deliveries.into_iter().next() else { return Ok(None) };
        let order = parse("read order from queue", first.payload.as_bytes())?;
        Ok(Some(Delivery { id: first.delivery, order }))
    }

    /// Acknowledges a delivery. One that is no longer held is fine: the order comes again and is known by then.
    pub(in crate::demo) async fn acknowledge(&mut self, delivery: &Delivery) -> Result<()> {
        let path = format!("/deliveries/{}/ack", delivery.id);
        let answer = self.ask(Method::POST, &path, None, Duration::ZERO).await?;
        let fine = [StatusCode::NO_CONTENT, StatusCode::CONFLICT, StatusCode::NOT_FOUND];
        expect("acknowledge to queue", &answer, &fine)
    }

    /// How many messages are in the queue, held and delayed ones included.
    pub(in crate::demo) async fn depth(&mut self) -> Result<u64> {
        let answer = self.ask(Method::GET, "", None, Duration::ZERO).await?;
        expect("measure queue", &answer, &[StatusCode::OK])?;
        let depth: Depth = parse("measure queue", &answer.body)?;
        Ok(depth.ready + depth.held + depth.delayed)
    }

    /// Waits until the daemon may be tried again after a failed call.
    pub(in crate::demo) async fn rest(&self) {
        self.backoff.rest().await;
    }

    /// Sends one request and reads its answer. After an error the connection is gone.
    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Value>,
        wait: Duration,
    ) -> Result<Answer> {
        if self.backoff.lasts(Instant::now()) {
            return Err(away("left alone for a moment"));
        }
        let address = self.addresses.borrow().http;
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("{QUEUE}{path}"))
            .header(HOST, address.to_string())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Error::new(Kind::Invalid, "ask queue", "orders").because(error))?;
        let connection = self.connection.take();
        let answered = timeout(wait + limits::QUEUE_ANSWER_MAX, send(connection, address, request)).await;
        let outcome = match answered {
            Ok(Ok((connection, answer))) => {
                self.connection = Some(connection);
                if later(answer.status) {
                    Err(away(&format!("orders: {}", answer.status)))
                } else {
                    Ok(answer)
                }
            }
            Ok(Err(error)) => Err(away("orders").because(error)),
            Err(late) => Err(away("orders").because(late)),
        };
        match &outcome {
            Ok(_) => self.backoff.succeeded(),
            Err(_) => self.backoff.failed(Instant::now()),
        }
        outcome
    }
}

type Cause = Box<dyn std::error::Error + Send + Sync>;
type Connection = SendRequest<Full<Bytes>>;

/// Sends `request` on `connection`, or on a new one if there is none or it was closed, and reads the whole answer.
async fn send(
    connection: Option<Connection>,
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> std::result::Result<(Connection, Answer), Cause> {
    let mut connection = match connection.filter(|connection| !connection.is_closed()) {
        Some(connection) => connection,
        None => connect(address).await?,
    };
    connection.ready().await?;
    let response = connection.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), limits::QUEUE_BODY_BYTES_MAX).collect().await?.to_bytes();
    Ok((connection, Answer { status, body }))
}

async fn connect(address: SocketAddr) -> std::result::Result<Connection, Cause> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with its connection; what goes wrong in it is told to the request that is waiting.
    tokio::spawn(driver);
    Ok(connection)
}

/// Back-pressure, or a daemon that cannot answer just now.
fn later(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

fn expect(operation: &'static str, answer: &Answer, fine: &[StatusCode]) -> Result<()> {
    if fine.contains(&answer.status) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&answer.body);
    Err(Error::new(Kind::Invalid, operation, format!("orders: {} {said}", answer.status)))
}

fn parse<T: DeserializeOwned>(operation: &'static str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::new(Kind::Damaged, operation, "orders").because(error))
}

fn away(how: &str) -> Error {
    Error::new(Kind::Unavailable, "ask queue", how)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use forebay_core::error::Retry;

    use super::*;
    use crate::demo::clients::scripted;

    async fn client(
        script: impl Fn(&str, &str) -> Option<(u16, String)> + Send + Sync + 'static,
    ) -> QueueClient {
        QueueClient::new(scripted::daemon(Arc::new(|_| None), Arc::new(script)).await)
    }

    fn orders() -> Vec<Order> {
        ["a", "b"].map(|id| Order { id: id.into(), product: 7 }).to_vec()
    }

    #[tokio::test]
    async fn orders_are_published_in_one_request_and_come_back_one_by_one() {
        let mut queue = client(|request, body| {
            Some(match request {
                "PUT /v1/queues/orders" => (201, "{}".into()),
                "POST /v1/queues/orders/messages" => {
                    let body: Value = serde_json::from_str(body).unwrap();
                    assert_eq!(body["messages"][1]["payload"], r#"{"id":"b","product":7}"#);
                    (201, r#"{"ids":["a","b"]}"#.into())
                }
                "POST /v1/queues/orders/receive" => (
                    200,
                    r#"{"deliveries":[{"delivery":"1-2","id":"a","payload":"{\"id\":\"a\",\"product\":7}"}]}"#.into(),
                ),
                "POST /v1/queues/orders/deliveries/1-2/ack" => (204, String::new()),
                "GET /v1/queues/orders" => (200, r#"{"ready":3,"held":2,"delayed":1}"#.into()),
                other => panic!("{other}"),
            })
        })
        .await;
        queue.declare().await.unwrap();
        queue.publish(&orders()).await.unwrap();
        let delivery = queue.receive().await.unwrap().unwrap();
        assert_eq!(delivery.order, orders()[0]);
        queue.acknowledge(&delivery).await.unwrap();
        assert_eq!(queue.depth().await.unwrap(), 6);
    }

    #[tokio::test]
    async fn an_empty_queue_is_no_error() {
        let mut queue = client(|_, _| Some((200, r#"{"deliveries":[]}"#.into()))).await;
        assert_eq!(queue.receive().await.unwrap(), None);
    }

    #[tokio::test]
    async fn back_pressure_can_be_tried_again_and_a_refusal_cannot() {
        for (status, retry) in
            [(429, Retry::Later), (503, Retry::Later), (400, Retry::Never), (404, Retry::Never)]
        {
            let mut queue = client(move |_, _| Some((status, r#"{"error":"no"}"#.into()))).await;
            assert_eq!(queue.publish(&orders()).await.unwrap_err().retry(), retry, "{status}");
        }
    }

    #[tokio::test]
    async fn an_order_that_is_no_longer_held_needs_no_acknowledgement() {
        for status in [409, 404] {
            let mut queue = client(move |_, _| Some((status, r#"{"error":"not held"}"#.into()))).await;
            let delivery = Delivery { id: "1-2".into(), order: orders().remove(0) };
            queue.acknowledge(&delivery).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_publish_without_an_answer_is_not_confirmed() {
        let mut queue = client(|_, _| None).await;
        assert_eq!(queue.publish(&orders()).await.unwrap_err().retry(), Retry::Later);
    }
}
