//! A front on real engines in a scratch directory, and a plain client that hides nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use forebay_broker::{BrokerOptions, EmbeddedBroker};
use forebay_core::entry::Version;
use forebay_core::health::Health;
use forebay_core::limits;
use forebay_core::ports::broker::Broker;
use forebay_core::ports::clock::Clock;
use forebay_core::pressure::Pressure;
use forebay_http::{Cached, Options, Parts};
use forebay_log::{Disk, LogOptions};
use forebay_memory::{Memory, MemoryOptions};
use forebay_queue::queues::Queues;
use forebay_runtime::clock::TokioClock;
use forebay_runtime::tasks::{Drained, Tasks};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Longer than any test should take; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Largest value that the cache under test takes.
pub(crate) const VALUE_BYTES_MAX: usize = 64 * 1024;

/// The memory of the cache under test.
pub(crate) fn memory_options(clock: &dyn Clock) -> MemoryOptions {
    MemoryOptions {
        bytes_max: limits::memory::BYTES_MIN,
        value_bytes_max: VALUE_BYTES_MAX,
        first_version: Version::first(clock.now()),
    }
}

pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) health: Arc<Health>,
    pub(crate) pressure: Arc<Pressure>,
    stop: watch::Sender<bool>,
    front: Tasks,
    engines: Tasks,
    broker: Arc<EmbeddedBroker>,
    runtime: Runtime,
    _data: TempDir,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("the front ends the connection");
        Self::parse(&bytes)
    }

    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head, body: bytes[end + 4..].to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(present, _)| present.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The text of a refusal, after checking its shape.
    pub(crate) fn refusal(&self) -> String {
        let json = self.json();
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        assert_eq!(json.as_object().unwrap().len(), 2, "{json}");
        assert!(json["retry"].is_boolean(), "{json}");
        json["error"].as_str().unwrap().to_owned()
    }
}

impl Served {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub(crate) fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        Self::start_on(|broker| broker, change)
    }

    /// With other parts than the engines of this process.
    pub(crate) fn start_changed(parts: impl FnOnce(&mut Parts)) -> Self {
        Self::start_as(|broker| broker, |_| {}, parts)
    }

    /// Messages go to what `replace` makes of the broker; its administration stays the broker's own.
    pub(crate) fn start_on(
        replace: impl FnOnce(Arc<dyn Broker>) -> Arc<dyn Broker>,
        change: impl FnOnce(&mut Options),
    ) -> Self {
        Self::start_as(replace, change, |_| {})
    }

    pub(crate) fn start_as(
        replace: impl FnOnce(Arc<dyn Broker>) -> Arc<dyn Broker>,
        change: impl FnOnce(&mut Options),
        other: impl FnOnce(&mut Parts),
    ) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let _inside = runtime.enter();
        let data = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
        let health = Arc::new(Health::default());
        let pressure = Arc::new(Pressure::default());
        let log = LogOptions { segment_bytes: 16 << 20, ..LogOptions::default() };
        let options = BrokerOptions { log, hot_bytes_max: 1 << 20, ..BrokerOptions::default() };
        let disk = Disk::open(data.path()).unwrap();
        let opened = forebay_broker::open(Arc::new(disk), options, clock.clone()).unwrap();
        let queues = Queues::new(replace(opened.broker.clone()), clock.clone());
        let memory = memory_options(&*clock);
        let (stop, stopped) = watch::channel(false);
        let tasks = || Tasks::new(runtime.handle().clone(), health.clone());
        let (front, engines) = (tasks(), tasks());
        engines.spawn_all(opened.work);
        engines.spawn_all(vec![queues.expirer()]);
        let mut parts = Parts {
            queues,
            admin: opened.broker.clone(),
            cache: Cached::Local(Arc::new(Memory::new(memory))),
            log: Some(opened.broker.log().clone()),
            clock,
            pressure: pressure.clone(),
            health: health.clone(),
            fronts: Vec::new(),
            version: "0.0.0",
        };
        other(&mut parts);
        let mut options =
            Options { value_bytes_max: VALUE_BYTES_MAX, ..Options::new(([127, 0, 0, 1], 0).into()) };
        change(&mut options);
        let bound = forebay_http::bind(options, parts, stopped).unwrap();
        let address = bound.address();
        front.spawn_all(bound.work());
        Self { address, health, pressure, stop, front, engines, broker: opened.broker, runtime, _data: data }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Sends one request and returns the connection.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> TcpStream {
        let mut stream = self.connect();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        // The front may have refused and hung up before it had read everything.
        let _sent = stream.write_all(body);
        stream
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        Reply::read(&mut self.send(method, path, headers, body))
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], b"")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        self.json("POST", path, body)
    }

    pub(crate) fn json(&self, method: &str, path: &str, body: &Value) -> Reply {
        self.ask(method, path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    /// Declares a queue that retries at once.
    pub(crate) fn queue(&self, name: &str) {
        let settings = serde_json::json!({ "backoff_first_ms": 0, "attempt_max": 2, "dead_letter": "dead" });
        assert_eq!(self.json("PUT", &format!("/v1/queues/{name}"), &settings).status, 201);
    }

    /// Publishes texts.
    pub(crate) fn publish(&self, queue: &str, payloads: &[&str]) {
        let messages: Vec<Value> =
            payloads.iter().map(|payload| serde_json::json!({ "payload": payload })).collect();
        let reply =
            self.post(&format!("/v1/queues/{queue}/messages"), &serde_json::json!({ "messages": messages }));
        assert_eq!(reply.status, 201, "{reply:?}");
    }

    /// Takes what is there, at most `count`.
    pub(crate) fn receive(&self, queue: &str, count: usize) -> Vec<Value> {
        let reply = self.post(
            &format!("/v1/queues/{queue}/receive"),
            &serde_json::json!({ "count_max": count, "wait_ms": 1000 }),
        );
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["deliveries"].as_array().unwrap().clone()
    }

    /// Tells the front to stop.
    pub(crate) fn tell_to_stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until the front has ended.
    pub(crate) fn drain(&self) -> Drained {
        self.runtime.block_on(self.front.drain(PATIENCE))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.tell_to_stop();
        self.broker.close();
        let engines = self.engines.clone();
        self.runtime.block_on(engines.drain(PATIENCE));
    }
}
