//! Slots of keys, and which server has them.

use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisResult, Value};
use tokio::time::timeout;

use crate::connect::no_server;
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
#[derive(Clone, Default)]
pub(crate) struct Map(Vec<(u16, u16, ConnectionInfo)>);

impl Map {
    /// The master that has the slot.
    pub(crate) fn of(&self, slot: u16) -> Option<&ConnectionInfo> {
        self.0.iter().find(|(first, last, _)| (*first..=*last).contains(&slot)).map(|(_, _, master)| master)
    }

    #[cfg(test)]
    pub(super) fn of_one(url: &str) -> Self {
        Self(vec![(0, SLOTS - 1, url.into_connection_info().unwrap())])
    }

    /// Every range with its master.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (u16, u16, &ConnectionInfo)> {
        self.0.iter().map(|(first, last, master)| (*first, *last, master))
    }
}

/// Asks the servers that the settings name, all at once, and believes the first that answers.
pub(crate) async fn ask(settings: &Settings) -> RedisResult<Map> {
    let Topology::Cluster(nodes) = &settings.topology else { return Err(no_server()) };
    let each = nodes.iter().map(|node| {
        Box::pin(async move {
            let asked = timeout(settings.timeout, ask_one(node)).await;
            asked.unwrap_or_else(|_| Err(no_server()))
        })
    });
    futures_util::future::select_ok(each).await.map(|(map, _)| map)
}

async fn ask_one(node: &ConnectionInfo) -> RedisResult<Map> {
    let mut wire = Client::open(node.clone())?.get_multiplexed_async_connection().await?;
    let answer: Value = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut wire).await?;
    // A server that was just started may know of none.
    read(answer, node).filter(|map| !map.0.is_empty()).ok_or_else(no_server)
}

/// Of each range its first and last slot, and its master's host and port. An empty host is the one that was asked.
fn read(answer: Value, asked: &ConnectionInfo) -> Option<Map> {
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
    ranges.into_iter().map(read).collect::<Option<_>>().map(Map)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let map = read(Value::Array(vec![range(0, 99, "10.0.0.2"), range(100, 16_383, "")]), &asked).unwrap();
        let place = |slot| map.of(slot).map(|info| info.addr().to_string());
        assert_eq!(place(99).as_deref(), Some("10.0.0.2:7001"));
        assert_eq!(place(100).as_deref(), Some("10.0.0.1:7001"));
        assert_eq!(place(16_384), None);
        assert_eq!(map.of(0).unwrap().redis_settings().password(), Some("pass"));
        assert!(read(Value::Array(vec![range(-1, 5, "h")]), &asked).is_none());
        assert!(read(Value::Int(1), &asked).is_none());
    }
}
