//! How deep the queue is, asked over HTTP as an operator would: unlike AMQP's count, it has the held messages in it, where
//! the broker counts them.

use forebay_core::error::{Error, Kind, Result};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use tokio::sync::watch;

use super::http::Http;
use super::session::within;
use crate::demo::daemon::Addresses;

const MEASURE: &str = "measure queue";

#[derive(Deserialize)]
struct Depth {
    ready: u64,
    #[serde(default)]
    held: u64,
    #[serde(default)]
    delayed: u64,
}

/// How many messages are in the queue at `path`, held and delayed ones included.
pub(super) async fn depth(addresses: watch::Receiver<Addresses>, path: &str) -> Result<u64> {
    let mut http = Http::new(addresses);
    let answer = within(MEASURE, http.ask(MEASURE, (Method::GET, path), None, &[StatusCode::OK])).await?;
    let depth: Depth = serde_json::from_slice(&answer.body)
        .map_err(|error| Error::new(Kind::Damaged, MEASURE, path).because(error))?;
    Ok(depth.ready.saturating_add(depth.held).saturating_add(depth.delayed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::clients::scripted;

    async fn depth_of(status: u16, body: &'static str) -> Result<u64> {
        let http = scripted::http(status, body).await;
        let addresses = Addresses { http, ..*scripted::nobody().await.borrow() };
        depth(watch::channel(addresses).1, "/v1/queues/orders").await
    }

    #[tokio::test]
    async fn held_and_delayed_messages_are_in_the_queue() {
        assert_eq!(depth_of(200, r#"{"ready":3,"held":2,"delayed":1}"#).await.unwrap(), 6);
        assert_eq!(depth_of(200, r#"{"ready":3}"#).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn an_answer_that_is_no_depth_is_no_empty_queue() {
        assert_eq!(depth_of(503, "{}").await.unwrap_err().kind(), Kind::Unavailable);
        assert_eq!(depth_of(200, r#"{"held":0}"#).await.unwrap_err().kind(), Kind::Damaged);
    }
}
