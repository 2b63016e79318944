//! The bytes of a message.
//!
//! *message* is flags `u8` (1 not before, 2 expires, 4 content type, 8 key, 16 headers, 32 dedup id, 64 claim, 128 way), then what
//! the flags name:
//! not before `time`, expires `time`; then priority `u8`, id `text8`; then, if named: content type `text8`, key
//! `text8`, dedup id `text8`, way (flags `u8`: 1 exchange, 2 routing key, 4 time to live; then exchange `text8`, routing key
//! `text8`, time to live `u64` nanoseconds, if named), headers (their bytes `u32`, then a *table*); the rest is the payload or, with 64, a *claim*
//! to it: the number `u64` of the file in which it lies, its length `u32` and its CRC-32C `u32`. The file
//! `claim-<number, 20 digits>.bin` holds the payload and nothing else.
//!
//! A *table* is a count `u32` of: name `text16`, *value*. A *value* is a tag `u8` and: 0 null; 1 false; 2 true; 3
//! signed `i64`; 4 unsigned `u64`; 5 float `f64`; 6 `time`; 7 text and 8 bytes behind their length `u32`; 9 list, a
//! count `u32` of values; 10 a table.

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::message::{Headers, Message, MessageId, Value};
use forebay_core::payload::Payload;

use super::bytes::{Reader, Writer};
use crate::state::entry::Rank;

const NOT_BEFORE: u8 = 1;
const EXPIRES: u8 = 2;
const CONTENT_TYPE: u8 = 4;
const KEY: u8 = 8;
const HEADERS: u8 = 16;
const DEDUP: u8 = 32;
const CLAIM: u8 = 64;
const WAY: u8 = 128;

const EXCHANGE: u8 = 1;
const ROUTING_KEY: u8 = 2;
const TIME_TO_LIVE: u8 = 4;

/// What the log has of a payload that lies in a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The file's number.
    pub(crate) file: u64,
    pub(crate) length: u32,
    pub(crate) checksum: u32,
}

/// What a claim takes in a record.
pub(crate) const CLAIM_BYTES: usize = 16;

/// A message as its record tells it: without its payload where the record has a claim to that.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Decoded {
    pub(crate) message: Message,
    pub(crate) claim: Option<Claim>,
}

/// Everything of the message but its payload, which follows as it is; with a claim, nothing follows.
pub(crate) fn head(message: &Message, claim: Option<Claim>) -> Vec<u8> {
    let named = |flag: u8, present: bool| if present { flag } else { 0 };
    let way = named(EXCHANGE, message.exchange.is_some())
        | named(ROUTING_KEY, message.routing_key.is_some())
        | named(TIME_TO_LIVE, message.time_to_live.is_some());
    let mut writer = Writer(Vec::with_capacity(64));
    writer.u8(named(NOT_BEFORE, message.not_before.is_some())
        | named(EXPIRES, message.expires_at.is_some())
        | named(CONTENT_TYPE, message.content_type.is_some())
        | named(KEY, message.key.is_some())
        | named(HEADERS, !message.headers.is_empty())
        | named(DEDUP, message.dedup_id.is_some())
        | named(WAY, way != 0)
        | named(CLAIM, claim.is_some()));
    [message.not_before, message.expires_at].into_iter().flatten().for_each(|time| writer.time(time));
    writer.u8(message.priority);
    writer.text8(message.id.as_str());
    let texts = [&message.content_type, &message.key, &message.dedup_id];
    texts.into_iter().flatten().for_each(|text| writer.text8(text));
    if way != 0 {
        writer.u8(way);
        [&message.exchange, &message.routing_key].into_iter().flatten().for_each(|text| writer.text8(text));
        message.time_to_live.into_iter().for_each(|time| writer.duration(time));
    }
    if !message.headers.is_empty() {
        let mut table = Writer::default();
        write_table(&mut table, &message.headers);
        writer.bytes32(&table.0);
    }
    if let Some(Claim { file, length, checksum }) = claim {
        writer.u64(file);
        writer.u32(length);
        writer.u32(checksum);
    }
    writer.0
}

/// What a queue must know of a message beside its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Glance<'a> {
    pub(crate) priority: u8,
    pub(crate) key: Option<&'a str>,
    pub(crate) dedup_id: Option<&'a str>,
    /// To its payload, if that lies elsewhere.
    pub(crate) claim: Option<Claim>,
    /// Of its payload, wherever it lies.
    pub(crate) payload_bytes: usize,
}

impl Glance<'_> {
    pub(crate) fn rank(&self) -> Rank {
        Rank::of(self.priority, self.key)
    }
}

/// Looks at an encoded message without taking it apart.
pub(crate) fn glance(bytes: &[u8]) -> Result<Glance<'_>> {
    let look = || {
        let mut reader = Reader(bytes);
        let flags = reader.u8()?;
        for _ in [NOT_BEFORE, EXPIRES].into_iter().filter(|flag| flags & flag != 0) {
            reader.time()?;
        }
        let priority = reader.u8()?;
        reader.text8()?;
        let mut text = |flag| Some(if flags & flag == 0 { None } else { Some(reader.text8()?) });
        text(CONTENT_TYPE)?;
        let (key, dedup_id) = (text(KEY)?, text(DEDUP)?);
        let claim = if flags & CLAIM == 0 { None } else { Some(read_claim(reader.last(CLAIM_BYTES)?)?) };
        let way = if flags & WAY == 0 { 0 } else { read_way(&mut reader)? };
        for _ in [EXCHANGE, ROUTING_KEY].into_iter().filter(|flag| way & flag != 0) {
            reader.text8()?;
        }
        if way & TIME_TO_LIVE != 0 {
            reader.duration()?;
        }
        if flags & HEADERS != 0 {
            reader.bytes32()?;
        }
        let payload_bytes = claim.map_or(reader.0.len(), |claim| claim.length as usize);
        Some(Glance { priority, key, dedup_id, claim, payload_bytes })
    };
    look().ok_or_else(damaged)
}

fn damaged() -> Error {
    Error::new(Kind::Damaged, "decode message", "its bytes make no message")
}

/// The message that lies in `body` from `start` to the end. Its payload shares the bytes of `body`.
pub(crate) fn decode(body: &Payload, start: usize) -> Result<Decoded> {
    read(body, start).ok_or_else(damaged)
}

/// What of its way the message tells; at least something.
fn read_way(reader: &mut Reader<'_>) -> Option<u8> {
    reader.u8().filter(|way| *way != 0 && way & !(EXCHANGE | ROUTING_KEY | TIME_TO_LIVE) == 0)
}

fn read_claim(bytes: &[u8]) -> Option<Claim> {
    let mut reader = Reader(bytes);
    let claim = Claim { file: reader.u64()?, length: reader.u32()?, checksum: reader.u32()? };
    reader.0.is_empty().then_some(claim)
}

fn read(body: &Payload, start: usize) -> Option<Decoded> {
    let mut reader = Reader(body.get(start..)?);
    let flags = reader.u8()?;
    let mut time = |flag| Some(if flags & flag == 0 { None } else { Some(reader.time()?) });
    let (not_before, expires_at) = (time(NOT_BEFORE)?, time(EXPIRES)?);
    let priority = reader.u8()?;
    let id = MessageId::given(reader.text8()?).ok()?;
    let mut text = |flag| Some(if flags & flag == 0 { None } else { Some(reader.text8()?.to_owned()) });
    let (content_type, key, dedup_id) = (text(CONTENT_TYPE)?, text(KEY)?, text(DEDUP)?);
    let way = if flags & WAY == 0 { 0 } else { read_way(&mut reader)? };
    let mut text = |flag| Some(if way & flag == 0 { None } else { Some(reader.text8()?.to_owned()) });
    let (exchange, routing_key) = (text(EXCHANGE)?, text(ROUTING_KEY)?);
    let time_to_live = if way & TIME_TO_LIVE == 0 { None } else { Some(reader.duration()?) };
    let headers = if flags & HEADERS == 0 { Headers::new() } else { read_headers(reader.bytes32()?)? };
    let (payload, claim) = if flags & CLAIM == 0 {
        (body.slice(body.len() - reader.0.len(), body.len())?, None)
    } else {
        (Payload::empty(), Some(read_claim(reader.0)?))
    };
    let message = Message {
        id,
        payload,
        content_type,
        headers,
        key,
        not_before,
        expires_at,
        priority,
        dedup_id,
        exchange,
        routing_key,
        time_to_live,
    };
    Some(Decoded { message, claim })
}

fn write_table(writer: &mut Writer, headers: &Headers) {
    writer.u32(headers.iter().len() as u32);
    for (name, value) in headers.iter() {
        writer.text16(name);
        write_value(writer, value);
    }
}

fn write_value(writer: &mut Writer, value: &Value) {
    match value {
        Value::Null => writer.u8(0),
        Value::Bool(value) => writer.u8(1 + u8::from(*value)),
        Value::Int(value) => {
            writer.u8(3);
            writer.u64(value.cast_unsigned());
        }
        Value::UInt(value) => {
            writer.u8(4);
            writer.u64(*value);
        }
        Value::Float(value) => {
            writer.u8(5);
            writer.f64(*value);
        }
        Value::Time(value) => {
            writer.u8(6);
            writer.time(*value);
        }
        Value::Text(value) => {
            writer.u8(7);
            writer.bytes32(value.as_bytes());
        }
        Value::Bytes(value) => {
            writer.u8(8);
            writer.bytes32(value);
        }
        Value::List(values) => {
            writer.u8(9);
            writer.u32(values.len() as u32);
            values.iter().for_each(|value| write_value(writer, value));
        }
        Value::Table(headers) => {
            writer.u8(10);
            write_table(writer, headers);
        }
    }
}

fn read_headers(table: &[u8]) -> Option<Headers> {
    // The limit counts what the publisher wrote; the outermost count is ours.
    if table.len() > limits::HEADERS_BYTES_MAX + size_of::<u32>() {
        return None;
    }
    let mut reader = Reader(table);
    let headers = read_table(&mut reader, limits::HEADERS_DEPTH_MAX)?;
    reader.0.is_empty().then_some(headers)
}

/// Nothing is allocated for a count before its values are there, and the depth is bounded.
fn read_table(reader: &mut Reader<'_>, depth: usize) -> Option<Headers> {
    let depth = depth.checked_sub(1)?;
    let count = reader.u32()?;
    (0..count).map(|_| Some((reader.text16()?.to_owned(), read_value(reader, depth)?))).collect()
}

fn read_value(reader: &mut Reader<'_>, depth: usize) -> Option<Value> {
    Some(match reader.u8()? {
        0 => Value::Null,
        1 => Value::Bool(false),
        2 => Value::Bool(true),
        3 => Value::Int(reader.u64()?.cast_signed()),
        4 => Value::UInt(reader.u64()?),
        5 => Value::Float(reader.f64()?),
        6 => Value::Time(reader.time()?),
        7 => Value::Text(reader.text32()?.to_owned()),
        8 => Value::Bytes(reader.bytes32()?.to_vec()),
        9 => {
            let depth = depth.checked_sub(1)?;
            let count = reader.u32()?;
            Value::List((0..count).map(|_| read_value(reader, depth)).collect::<Option<_>>()?)
        }
        10 => Value::Table(read_table(reader, depth)?),
        _ => return None,
    })
}
