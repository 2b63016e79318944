//! Bytes into records: bounded and total. Whatever the bytes, the answer is a record or `Damaged`.

use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::queue::{
    Backoff, DeadLetterExchange, Lifetime, Order, Overflow, QueueName, QueueSettings, Retain, RetryPolicy,
};
use forebay_core::time::Instant;

use super::bytes::Reader;
use super::{
    ATTEMPTS, DELAYED, EXPIRES, FINISHED, HELD, HISTORY, MOVE_EXPIRES, MOVE_NEWEST, MOVE_STAYS, MessageBytes,
    REPLACES, Record, SETTINGS_BYTES, SETTINGS_EXCHANGE, SETTINGS_KEY, SETTINGS_TTL, Status, VERSION,
    history,
};

impl<'a> Record<'a> {
    /// The record with this body. A message inside is not looked at: that is [`message`](super::message)'s.
    pub(crate) fn decode(body: &'a [u8]) -> Result<Self> {
        read(body).ok_or_else(|| Error::new(Kind::Damaged, "decode record", "its bytes make none"))
    }
}

fn read(body: &[u8]) -> Option<Record<'_>> {
    let mut reader = Reader(body);
    let (kind, version) = (reader.u8()?, reader.u8()?);
    if version != VERSION {
        return None;
    }
    let record = match kind {
        1 => Record::Declare {
            number: reader.u64()?,
            settings: read_settings(&mut reader)?,
            paused: read_bool(&mut reader)?,
        },
        2 => Record::Delete { queue: reader.u64()?, changes: read_changes(&mut reader)? },
        3 => Record::Purge { queue: reader.u64()? },
        4 => read_put(&mut reader)?,
        5 => Record::Deliver {
            queue: reader.u64()?,
            position: reader.u64()?,
            attempt: reader.u32()?,
            token: reader.u32()?,
            held_until: reader.time()?,
        },
        6 => Record::Extend { queue: reader.u64()?, position: reader.u64()?, held_until: reader.time()? },
        7 => Record::Settle { queue: reader.u64()?, position: reader.u64()? },
        8 => Record::Retry { queue: reader.u64()?, position: reader.u64()?, at: reader.time()? },
        9 => Record::Return { queue: reader.u64()?, position: reader.u64()?, seen: read_bool(&mut reader)? },
        10 => read_move(&mut reader)?,
        11 => Record::Marks { queue: reader.u64()?, marks: read_marks(&mut reader)? },
        12 => Record::Retain { queue: reader.u64()?, position: reader.u64()? },
        13 => Record::End { queues: read_numbers(&mut reader)? },
        14 => Record::Route { changes: read_changes(&mut reader)? },
        15 => Record::Reopen { queues: read_numbers(&mut reader)? },
        _ => return None,
    };
    reader.0.is_empty().then_some(record)
}

fn read_message<'a>(reader: &mut Reader<'a>) -> MessageBytes<'a> {
    MessageBytes { head: std::mem::take(&mut reader.0), payload: &[] }
}

fn read_marks<'a>(reader: &mut Reader<'a>) -> Option<Vec<(Instant, &'a str)>> {
    // What the count says is believed only as far as the bytes go.
    (0..reader.u32()?).map(|_| Some((reader.time()?, reader.text8()?))).collect()
}

fn read_changes<'a>(reader: &mut Reader<'a>) -> Option<Vec<&'a [u8]>> {
    let mut changes = Vec::new();
    while !reader.0.is_empty() {
        changes.push(reader.bytes32()?);
    }
    Some(changes)
}

fn read_numbers(reader: &mut Reader<'_>) -> Option<Vec<u64>> {
    (0..reader.0.len() / size_of::<u64>()).map(|_| reader.u64()).collect()
}

fn read_bool(reader: &mut Reader<'_>) -> Option<bool> {
    match reader.u8()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn read_settings(reader: &mut Reader<'_>) -> Option<QueueSettings> {
    let flags;
    let settings = QueueSettings {
        name: QueueName::new(reader.text8()?).ok()?,
        retry: RetryPolicy {
            attempt_max: reader.u32()?,
            backoff: Backoff {
                first: reader.duration()?,
                longest: reader.duration()?,
                jitter: reader.f64()?,
            },
        },
        hold: reader.duration()?,
        dead_letter: match reader.text8()? {
            "" => None,
            name => Some(QueueName::new(name).ok()?),
        },
        dead_letter_exchange: {
            flags = reader.u8()?;
            if flags & !(SETTINGS_EXCHANGE | SETTINGS_KEY | SETTINGS_TTL | SETTINGS_BYTES) != 0 {
                return None;
            }
            let exchange = if flags & SETTINGS_EXCHANGE == 0 { None } else { Some(reader.text8()?) };
            let key = if flags & SETTINGS_KEY == 0 { None } else { Some(reader.text8()?.to_owned()) };
            match exchange {
                Some(exchange) => Some(DeadLetterExchange { exchange: exchange.to_owned(), key }),
                None if key.is_none() => None,
                None => return None,
            }
        },
        message_ttl: if flags & SETTINGS_TTL == 0 { None } else { Some(reader.duration()?) },
        length_bytes_max: if flags & SETTINGS_BYTES == 0 { None } else { Some(reader.u64()?) },
        length_max: reader.u64()?,
        overflow: match reader.u8()? {
            0 => Overflow::Reject,
            1 => Overflow::DropHead,
            2 => Overflow::RejectDeadLetter,
            _ => return None,
        },
        order: match reader.u8()? {
            0 => Order::Arrival,
            1 => Order::Key,
            _ => return None,
        },
        priority_max: reader.u8()?,
        dedup_window: reader.duration()?,
        retain: match reader.duration()? {
            Duration::ZERO => Retain::Nothing,
            time => Retain::For(time),
        },
        newest_by_key: read_bool(reader)?,
        lifetime: match reader.u8()? {
            0 => Lifetime::Durable,
            1 => Lifetime::Process,
            _ => return None,
        },
        declaration: reader.bytes32()?.into(),
    };
    settings.check().is_ok().then_some(settings)
}

fn read_move<'a>(reader: &mut Reader<'a>) -> Option<Record<'a>> {
    let (from, position, to, at) = (reader.u64()?, reader.u64()?, reader.u64()?, reader.time()?);
    let flags = reader.u8()?;
    if flags & !(MOVE_EXPIRES | MOVE_STAYS | MOVE_NEWEST) != 0 {
        return None;
    }
    Some(Record::Move {
        from,
        position,
        to,
        at,
        expires_at: if flags & MOVE_EXPIRES != 0 { Some(reader.time()?) } else { None },
        stays: flags & MOVE_STAYS != 0,
        is_newest: flags & MOVE_NEWEST != 0,
        history: history::read(reader)?,
        message: read_message(reader),
    })
}

fn read_put<'a>(reader: &mut Reader<'a>) -> Option<Record<'a>> {
    let (queue, position, published_at) = (reader.u64()?, reader.u64()?, reader.time()?);
    let flags = reader.u8()?;
    let named = |flag| flags & flag != 0;
    if flags & !(ATTEMPTS | EXPIRES | DELAYED | HELD | HISTORY | FINISHED | REPLACES) != 0 {
        return None;
    }
    Some(Record::Put {
        queue,
        position,
        published_at,
        attempts: if named(ATTEMPTS) { reader.u32()? } else { 0 },
        expires_at: if named(EXPIRES) { Some(reader.time()?) } else { None },
        status: match (named(DELAYED), named(HELD), named(FINISHED)) {
            (false, false, false) => Status::Ready,
            (true, false, false) => Status::Delayed { until: reader.time()? },
            (false, true, false) => Status::Held { token: reader.u32()?, until: reader.time()? },
            (false, false, true) => Status::Finished,
            _ => return None,
        },
        replaces: if named(REPLACES) { Some(reader.u64()?) } else { None },
        history: if named(HISTORY) { history::read(reader)? } else { Vec::new() },
        message: read_message(reader),
    })
}
