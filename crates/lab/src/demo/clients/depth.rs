//! How deep the queue is, asked over HTTP as an operator would: unlike AMQP's count, it has the held messages in it.

use std::net::SocketAddr;

use bytes::Bytes;
use forebay_core::error::{Error, Kind, Result};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use super::session::within;
use crate::demo::limits;

const MEASURE: &str = "measure queue";

#[derive(Deserialize)]
struct Depth {
    ready: u64,
    held: u64,
    delayed: u64,
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// How many messages are in the queue of the daemon at `address`, held and delayed ones included.
pub(in crate::demo) async fn depth(address: SocketAddr) -> Result<u64> {
    let asked = async {
        let away = |cause: Cause| Error::new(Kind::Unavailable, MEASURE, "orders").because(cause);
        let (status, body) = ask(address).await.map_err(away)?;
        if status != StatusCode::OK {
            return Err(away(format!("answered with {status}").into()));
        }
        let depth: Depth = serde_json::from_slice(&body)
            .map_err(|error| Error::new(Kind::Damaged, MEASURE, "orders").because(error))?;
        Ok(depth.ready.saturating_add(depth.held).saturating_add(depth.delayed))
    };
    within(MEASURE, asked).await
}

async fn ask(address: SocketAddr) -> std::result::Result<(StatusCode, Bytes), Cause> {
    let stream = TcpStream::connect(address).await?;
    let (mut connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with its connection; what goes wrong in it is told to the request that is waiting.
    tokio::spawn(driver);
    let request =
        Request::get("/v1/queues/orders").header(HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let response = connection.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), limits::QUEUE_BODY_BYTES_MAX).collect().await?.to_bytes();
    Ok((status, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::clients::scripted;

    #[tokio::test]
    async fn held_and_delayed_messages_are_in_the_queue() {
        let body = r#"{"ready":3,"held":2,"delayed":1}"#;
        assert_eq!(depth(scripted::http(200, body).await).await.unwrap(), 6);
    }

    #[tokio::test]
    async fn an_answer_that_is_no_depth_is_no_empty_queue() {
        let error = depth(scripted::http(404, "{}").await).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable, "{error}");
        let error = depth(scripted::http(200, r#"{"ready":0}"#).await).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged, "{error}");
    }
}
