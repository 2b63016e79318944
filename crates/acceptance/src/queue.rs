//! A queue of a daemon, through its HTTP API, as a program in any language would use it.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// One queue, on connections of its own. Every call is `None` if no answer came: done or not, nobody knows.
#[derive(Clone)]
pub struct QueueClient {
    agent: ureq::Agent,
    base: String,
}

impl QueueClient {
    /// The queue of a daemon that listens for HTTP at `http`.
    pub fn new(http: SocketAddr, queue: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER_MAX))
            .http_status_as_error(false)
            .build()
            .new_agent();
        Self { agent, base: format!("http://{http}/v1/queues/{queue}") }
    }

    /// Declares it.
    pub fn declare(&self, settings: &Value) {
        let answer = self.agent.put(&self.base).send_json(settings).expect("the daemon answers");
        assert!(matches!(answer.status().as_u16(), 200 | 201), "{}", answer.status());
    }

    /// Publishes all messages; the status.
    pub fn publish(&self, messages: &[Value]) -> Option<u16> {
        Some(self.post("messages", &json!({ "messages": messages }))?.0)
    }

    /// Takes up to so many deliveries; `None` also if it was refused.
    pub fn receive(&self, count_max: usize, wait: Duration, hold: Duration) -> Option<Vec<Value>> {
        let (wait_ms, hold_ms) = (wait.as_millis() as u64, hold.as_millis() as u64);
        let ask = json!({ "count_max": count_max, "wait_ms": wait_ms, "hold_ms": hold_ms });
        let (status, answer) = self.post("receive", &ask)?;
        (status == 200).then(|| answer["deliveries"].as_array().cloned().unwrap_or_default())
    }

    /// Ends or prolongs a delivery: `ack`, `nack` or `extend`; the status and what is said.
    pub fn settle(&self, delivery: &Value, end: &str, body: &Value) -> Option<(u16, Value)> {
        let id = delivery["delivery"].as_str().expect("a delivery has an id");
        self.post(&format!("deliveries/{id}/{end}"), body)
    }

    /// What is asked of the queue under `path`.
    pub fn post(&self, path: &str, body: &Value) -> Option<(u16, Value)> {
        let mut response = self.agent.post(format!("{}/{path}", self.base)).send_json(body).ok()?;
        let status = response.status().as_u16();
        let body = response.body_mut().read_to_string().ok()?;
        Some((status, serde_json::from_str(&body).unwrap_or(Value::Null)))
    }
}
