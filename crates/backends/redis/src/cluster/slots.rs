//! Slots of keys, and which server has them.

use forebay_core::limits;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisResult, Value};
use tokio::time::{Instant, timeout_at};

use crate::connect::{no_server, says, untimed};
use crate::settings::{Settings, Topology};

const SLOTS: u16 = 16_384;

/// The slot of a key: of its hash tag, where it has one.
pub(crate) fn of(key: &[u8]) -> u16 {
    let tag = || {
        let begin = key.iter().position(|byte| *byte == b'{')? + 1;
        let length = key.get(begin..)?.iter().position(|byte| *byte == b'}')?;
        key.get(begin..begin + length).filter(|tag| !tag.is_empty())
    };
    crc16(tag().unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM, as the cluster's specification asks for.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc: u16, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

/// Which master has which slots.
pub(crate) struct Map {
    ranges: Vec<(u16, u16, ConnectionInfo)>,
    age: Age,
}

/// How new a map is: greater is newer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Age {
    /// Whether the server that told it reaches most of the masters. One that does not counts epochs by itself where it is a
    /// replica that wants to take over, and knows nothing of what the others have agreed on.
    is_agreed: bool,
    /// The cluster's epoch, as that server knows it: it grows with each fail-over and each slot that moves.
    epoch: u64,
}

impl Age {
    /// What `CLUSTER INFO` says.
    fn of(info: &str) -> Self {
        let epoch = says(info, "cluster_current_epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
        Self { is_agreed: says(info, "cluster_state") == Some("ok"), epoch }
    }
}

/// The servers that are asked for a cluster's map: those that the URL names, and the masters of the map that was believed last,
/// so that a cluster is known also when all that the URL names are gone.
pub(crate) struct Nodes {
    seeds: Vec<ConnectionInfo>,
    believed: Mutex<Believed>,
}

#[derive(Default)]
struct Believed {
    masters: Vec<ConnectionInfo>,
    age: Age,
}

impl Nodes {
    pub(crate) fn new(settings: &Settings) -> Self {
        let seeds =
            if let Topology::Cluster(seeds) = &settings.topology { seeds.clone() } else { Vec::new() };
        Self { seeds, believed: Mutex::default() }
    }

    /// All of them, first those that were there last.
    pub(crate) fn all(&self) -> Vec<ConnectionInfo> {
        let mut all = self.believed.lock().masters.clone();
        for seed in &self.seeds {
            if !holds(&all, seed) {
                all.push(seed.clone());
            }
        }
        all
    }

    fn believe(&self, map: &Map) {
        let mut masters = Vec::new();
        for (_, _, master) in &map.ranges {
            if masters.len() < limits::redis::NODES_MAX && !holds(&masters, master) {
                masters.push(master.clone());
            }
        }
        *self.believed.lock() = Believed { masters, age: map.age };
    }
}

fn holds(nodes: &[ConnectionInfo], node: &ConnectionInfo) -> bool {
    nodes.iter().any(|other| other.addr() == node.addr())
}

impl Map {
    /// The master that has the slot.
    pub(crate) fn of(&self, slot: u16) -> Option<&ConnectionInfo> {
        self.ranges
            .iter()
            .find(|(first, last, _)| (*first..=*last).contains(&slot))
            .map(|(_, _, master)| master)
    }

    #[cfg(test)]
    pub(super) fn of_one(url: &str) -> Self {
        Self { ranges: vec![(0, SLOTS - 1, url.into_connection_info().unwrap())], age: Age::default() }
    }

    /// Every range with its master.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (u16, u16, &ConnectionInfo)> {
        self.ranges.iter().map(|(first, last, master)| (*first, *last, master))
    }
}

/// Asks all servers at once, and believes the one with the newest map. Who is cut off from the others answers, too, and may be
/// the first: so the others have a little time behind an answer, and all the time behind one that is older than what is known.
pub(crate) async fn ask(settings: &Settings, nodes: &Nodes) -> RedisResult<Map> {
    let known = nodes.believed.lock().age;
    let all = nodes.all();
    let mut asked: FuturesUnordered<_> = all.iter().map(ask_one).collect();
    let mut end = settings.end_of(0);
    let (mut newest, mut failure) = (None::<Map>, no_server());
    while let Ok(Some(answer)) = timeout_at(end, asked.next()).await {
        match answer {
            Ok(map) => {
                if map.age >= known {
                    end = end.min(Instant::now() + limits::redis::MAP_PAUSE);
                }
                if newest.as_ref().is_none_or(|newest| newest.age < map.age) {
                    newest = Some(map);
                }
            }
            Err(error) => failure = error,
        }
    }
    let map = newest.ok_or(failure)?;
    nodes.believe(&map);
    Ok(map)
}

async fn ask_one(node: &ConnectionInfo) -> RedisResult<Map> {
    let client = Client::open(node.clone())?;
    let mut wire = client.get_multiplexed_async_connection_with_config(&untimed()).await?;
    let answer: Value = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut wire).await?;
    // A server that was just started may know of none.
    let ranges = read(answer, node).filter(|ranges| !ranges.is_empty()).ok_or_else(no_server)?;
    let info: String = redis::cmd("CLUSTER").arg("INFO").query_async(&mut wire).await?;
    Ok(Map { ranges, age: Age::of(&info) })
}

/// Of each range its first and last slot, and its master's host and port. An empty host is the one that was asked.
fn read(answer: Value, asked: &ConnectionInfo) -> Option<Vec<(u16, u16, ConnectionInfo)>> {
    let Value::Array(ranges) = answer else { return None };
    let read = |range: Value| {
        let Value::Array(range) = range else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = range.as_slice() else {
            return None;
        };
        let [host, Value::Int(port), ..] = master.as_slice() else { return None };
        let host = match (host, asked.addr()) {
            (Value::BulkString(host), _) if !host.is_empty() => String::from_utf8(host.clone()).ok()?,
            (_, ConnectionAddr::Tcp(host, _)) => host.clone(),
            _ => return None,
        };
        let info = ConnectionAddr::Tcp(host, u16::try_from(*port).ok()?).into_connection_info().ok()?;
        let info = info.set_redis_settings(asked.redis_settings().clone());
        Some((u16::try_from(*first).ok()?, u16::try_from(*last).ok()?, info))
    };
    ranges.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::Notify;
    use tokio::time::sleep;

    use super::*;

    /// A server that knows of one master, at this port, and of this epoch. It tells `told` when it has said so, and waits for
    /// `after` before it does.
    async fn node(port: u16, epoch: u64, after: Option<Arc<Notify>>, told: Option<Arc<Notify>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 4_096];
            while let Ok(count) = stream.read(&mut bytes).await
                && count > 0
            {
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                for command in text.split('*').skip(1) {
                    let answer = if command.contains("SLOTS") {
                        if let Some(after) = &after {
                            after.notified().await;
                        }
                        format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n")
                    } else if command.contains("CLUSTER") {
                        let info = format!("cluster_state:ok\r\ncluster_current_epoch:{epoch}\r\n");
                        format!("${}\r\n{info}\r\n", info.len())
                    } else {
                        "+OK\r\n".to_owned()
                    };
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    if let Some(told) = told.as_ref().filter(|_| answer.contains("epoch")) {
                        told.notify_one();
                    }
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn a_newer_map_is_waited_for_where_a_server_that_was_cut_off_answers_first() {
        let first = Arc::new(Notify::new());
        let cut_off = node(1, 3, None, Some(first.clone())).await;
        let other = node(2, 4, Some(first), None).await;
        let url = format!("redis-cluster://{cut_off},{other}?timeout_ms=10000");
        let settings = Settings::parse(&url).unwrap();
        let nodes = Nodes::new(&settings);
        nodes.believed.lock().age = Age { is_agreed: true, epoch: 4 };
        let map = ask(&settings, &nodes).await.unwrap();
        assert_eq!(map.of(0).unwrap().addr().to_string(), "127.0.0.1:2");
        let all: Vec<_> = nodes.all().iter().map(|node| node.addr().to_string()).collect();
        assert_eq!(all, ["127.0.0.1:2".to_owned(), cut_off, other], "its master is asked, too");
    }

    #[tokio::test]
    async fn a_map_may_take_as_long_as_the_url_allows() {
        let after = Arc::new(Notify::new());
        let slow = node(1, 3, Some(after.clone()), None).await;
        let settings = Settings::parse(&format!("redis-cluster://{slow}?timeout_ms=10000")).unwrap();
        // Longer than the client library waits by itself.
        let answers = async {
            sleep(Duration::from_millis(1_500)).await;
            after.notify_one();
        };
        let nodes = Nodes::new(&settings);
        let (map, ()) = tokio::join!(ask(&settings, &nodes), answers);
        assert_eq!(map.unwrap().of(0).unwrap().addr().to_string(), "127.0.0.1:1");
    }

    #[test]
    fn who_is_cut_off_from_most_is_believed_less_than_anybody_who_is_not() {
        let age = |state: &str, epoch| {
            Age::of(&format!(
                "cluster_state:{state}\r\ncluster_slots_ok:1\r\ncluster_current_epoch:{epoch}\r\n"
            ))
        };
        assert!(age("ok", 4) > age("ok", 3));
        assert!(age("ok", 3) > age("fail", 9), "a replica counts each election that it asks for");
        assert!(age("fail", 4) > age("fail", 3));
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(of(b"foo"), 12_182);
        assert_eq!(of(b"{user1000}.following"), of(b"{user1000}.followers"));
        assert_eq!(of(b"foo{{bar}}zap"), of(b"{bar"));
        assert_eq!(of(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS, "an empty tag is none");
    }

    #[test]
    fn a_map_is_read_and_a_strange_one_is_none() {
        let asked = "redis://user:pass@10.0.0.1:7000".into_connection_info().unwrap();
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let range = |first, last, host| {
            let master = Value::Array(vec![text(host), Value::Int(7_001), text("id"), Value::Array(vec![])]);
            Value::Array(vec![Value::Int(first), Value::Int(last), master])
        };
        let ranges = Value::Array(vec![range(0, 99, "10.0.0.2"), range(100, 16_383, "")]);
        let map = Map { ranges: read(ranges, &asked).unwrap(), age: Age::default() };
        let place = |slot| map.of(slot).map(|info| info.addr().to_string());
        assert_eq!(place(99).as_deref(), Some("10.0.0.2:7001"));
        assert_eq!(place(100).as_deref(), Some("10.0.0.1:7001"));
        assert_eq!(place(16_384), None);
        assert_eq!(map.of(0).unwrap().redis_settings().password(), Some("pass"));
        assert!(read(Value::Array(vec![range(-1, 5, "h")]), &asked).is_none());
        assert!(read(Value::Int(1), &asked).is_none());
    }
}
