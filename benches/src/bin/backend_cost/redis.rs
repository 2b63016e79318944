//! Redis: store and broker of `forebay-redis` beside the client library itself, and jobs beside apalis-redis.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use forebay_benches::queue_servers::peer::{BODY, Fallible};
use forebay_benches::server::{Address, Server};
use forebay_redis::settings::Settings;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Pipeline, Value, cmd};

use crate::apalis::Apalis;
use crate::sides::{ByHand, Caller, Doing, Jobs, Peer, Queue, Side, Store, TOGETHER, VALUE};
use crate::through::{OurJobs, OurQueue, OurStore, Runs};

const PROGRAM: &str = "redis-server";
const BARE: &str = "bare redis-rs";
const STREAM: &str = "bare";
const GROUP: &str = "group";
const CONSUMER: &str = "consumer";
const CONNECT_MAX: Duration = Duration::from_secs(20);

/// Starts two of the one on the path, a cache that writes nothing and one that may be trusted with messages. That is synced
/// as seldom as Forebay accepts: with a sync for every answer the disk would hide what the sides cost.
pub async fn open(folder: &Path, runs: &Runs) -> Fallible<[Peer; 2]> {
    let version = Command::new(PROGRAM).arg("--version").output()?.stdout;
    println!(
        "- {}; bare is redis-rs 1.8, which Forebay is on too, with one multiplexed connection; apalis 1.0 with \
         apalis-redis 1.0, {TOGETHER} jobs together, without locks and events",
        String::from_utf8_lossy(&version).trim()
    );
    let cache = start(folder, &["--appendonly", "no", "--save", ""]);
    let durable = start(folder, &["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]);
    Ok([store(cache, runs).await?, queue(durable, runs).await?])
}

fn start(folder: &Path, settings: &[&str]) -> Arc<Server> {
    let address = Address::free();
    let Address::Tcp(tcp) = &address else { unreachable!("it is one of TCP") };
    let mut command = Command::new(PROGRAM);
    command
        .args(["--bind", "127.0.0.1", "--port", &tcp.port().to_string(), "--dir"])
        .arg(folder)
        .args(settings);
    println!("  - `redis-server {}`", settings.join(" ").replace("--save ", "--save ''"));
    Arc::new(Server::start(&mut command, address))
}

fn url(server: &Server) -> String {
    format!("redis://{}", server.tcp())
}

async fn connect(server: &Server) -> Fallible<MultiplexedConnection> {
    let untimed = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let client = redis::Client::open(url(server))?;
    Ok(client.get_multiplexed_async_connection_with_config(&untimed).await?)
}

async fn store(server: Arc<Server>, runs: &Runs) -> Fallible<Peer> {
    let settings = Settings::parse(&format!("{}?timeout_ms=20000", url(&server)))?;
    let (ours, work) = forebay_redis::store::open(settings, runs.clock.clone());
    runs.start(vec![work]);
    ours.ready(CONNECT_MAX).await?;
    let stores = vec![
        Side { name: BARE, it: Arc::new(Bare(connect(&server).await?)) as Arc<dyn Store> },
        Side { name: "Forebay", it: Arc::new(OurStore(ours)) },
    ];
    Ok(Peer { name: "Redis", server, stores, queues: Vec::new(), jobs: Vec::new() })
}

async fn queue(server: Arc<Server>, runs: &Runs) -> Fallible<Peer> {
    let settings = Settings::parse(&format!("{}?timeout_ms=20000", url(&server)))?;
    let (broker, work) = forebay_redis::broker::open(settings, runs.clock.clone())?;
    runs.start(work);
    broker.ready(CONNECT_MAX).await?;
    let bare = |settled, name: &str| {
        let stream = format!("{STREAM}-{name}");
        let server = Arc::clone(&server);
        async move { Streams::create(&server, stream, settled).await }
    };
    let each = Arc::new(bare(Settled::Each, "each").await?);
    let by_hand = Arc::new(ByHand(Arc::new(bare(Settled::Each, "jobs").await?)));
    let queues = vec![
        Side { name: BARE, it: each as Arc<dyn Queue> },
        Side {
            name: "bare redis-rs, acknowledged together",
            it: Arc::new(bare(Settled::Together, "together").await?),
        },
        Side { name: "Forebay", it: Arc::new(OurQueue::declare(broker.clone(), runs, "queue").await?) },
    ];
    let jobs = vec![
        Side { name: BARE, it: by_hand as Arc<dyn Jobs> },
        Side { name: "Forebay", it: Arc::new(OurJobs::declare(broker, runs, "jobs").await?) },
        Side { name: "apalis-redis", it: Arc::new(Apalis::connect(&url(&server)).await?) },
    ];
    Ok(Peer { name: "Redis Streams", server, stores: Vec::new(), queues, jobs })
}

struct Bare(MultiplexedConnection);

impl Store for Bare {
    fn caller(&self) -> Doing<'_, Box<dyn Caller>> {
        Box::pin(async { Ok(Box::new(BareCaller(self.0.clone())) as Box<dyn Caller>) })
    }
}

struct BareCaller(MultiplexedConnection);

impl Caller for BareCaller {
    fn get<'a>(&'a mut self, key: &'a str) -> Doing<'a, ()> {
        Box::pin(async move {
            let found: Option<Vec<u8>> = cmd("GET").arg(key).query_async(&mut self.0).await?;
            found.filter(|value| value.len() == VALUE.len()).map(drop).ok_or("a miss".into())
        })
    }

    fn set<'a>(&'a mut self, key: &'a str) -> Doing<'a, ()> {
        Box::pin(async move { Ok(cmd("SET").arg(key).arg(&VALUE[..]).query_async(&mut self.0).await?) })
    }
}

/// How what was received is acknowledged and removed. Either way one pipeline.
#[derive(Clone, Copy)]
enum Settled {
    /// Every message by an XACK and an XDEL of its own, as the port settles.
    Each,
    /// All that were received together, with one XACK and one XDEL.
    Together,
}

/// One stream with one group, read and written by commands.
struct Streams {
    wire: MultiplexedConnection,
    stream: String,
    settled: Settled,
}

impl Streams {
    async fn create(server: &Server, stream: String, settled: Settled) -> Fallible<Self> {
        let mut wire = connect(server).await?;
        let mut group = cmd("XGROUP");
        group.arg("CREATE").arg(&stream).arg(GROUP).arg("0").arg("MKSTREAM");
        group.query_async::<()>(&mut wire).await?;
        Ok(Self { wire, stream, settled })
    }

    async fn settle(&self, ids: &[Vec<u8>]) -> Fallible<()> {
        let mut pipeline = Pipeline::new();
        match self.settled {
            Settled::Each => ids.iter().for_each(|id| {
                pipeline.cmd("XACK").arg(&self.stream).arg(GROUP).arg(id);
                pipeline.cmd("XDEL").arg(&self.stream).arg(id);
            }),
            Settled::Together => {
                pipeline.cmd("XACK").arg(&self.stream).arg(GROUP).arg(ids);
                pipeline.cmd("XDEL").arg(&self.stream).arg(ids);
            }
        }
        let counts: Vec<u64> = pipeline.query_async(&mut self.wire.clone()).await?;
        let settled: u64 = counts.iter().sum();
        if settled == 2 * ids.len() as u64 { Ok(()) } else { Err("not all were there to settle".into()) }
    }
}

impl Queue for Streams {
    fn publish(&self, count: usize) -> Doing<'_, ()> {
        Box::pin(async move {
            let mut pipeline = Pipeline::new();
            for _ in 0..count {
                pipeline.cmd("XADD").arg(&self.stream).arg("*").arg("b").arg(&BODY[..]).ignore();
            }
            Ok(pipeline.query_async(&mut self.wire.clone()).await?)
        })
    }

    fn work_off(&self, count: u64) -> Doing<'_, ()> {
        Box::pin(async move {
            let mut left = count as usize;
            while left > 0 {
                let mut read = cmd("XREADGROUP");
                read.arg("GROUP").arg(GROUP).arg(CONSUMER).arg("COUNT").arg(left.min(TOGETHER));
                read.arg("STREAMS").arg(&self.stream).arg(">");
                let answer: Value = read.query_async(&mut self.wire.clone()).await?;
                let ids = ids(answer).ok_or("the stream is empty before its time")?;
                self.settle(&ids).await?;
                left -= ids.len();
            }
            Ok(())
        })
    }
}

/// What XREADGROUP of one stream has found: `[[stream, [[id, [field, body]], …]]]`.
fn ids(answer: Value) -> Option<Vec<Vec<u8>>> {
    let array = |value| if let Value::Array(values) = value { Some(values) } else { None };
    let stream = array(array(answer)?.pop()?)?;
    let entries = array(stream.into_iter().nth(1)?)?.into_iter();
    let ids = entries.map(|entry| match array(entry)?.into_iter().next()? {
        Value::BulkString(id) => Some(id),
        _ => None,
    });
    ids.collect()
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::ids;

    #[test]
    fn ids_are_those_of_the_entries_that_were_read() {
        let text = |text: &str| Value::BulkString(text.into());
        let entry = |id| Value::Array(vec![text(id), Value::Array(vec![text("b"), text("body")])]);
        let entries = Value::Array(vec![entry("1-0"), entry("1-1")]);
        let answer = Value::Array(vec![Value::Array(vec![text("stream"), entries])]);
        assert_eq!(ids(answer), Some(vec![b"1-0".to_vec(), b"1-1".to_vec()]));
        assert_eq!(ids(Value::Nil), None);
    }
}
