//! Bytes into records: bounded and total. Whatever the bytes, the answer is a record or `Damaged`.

use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::queue::{
    Backoff, Lifetime, Order, Overflow, QueueName, QueueSettings, Retain, RetryPolicy,
};
use forebay_core::time::Instant;

use super::bytes::Reader;
use super::{
    ATTEMPTS, DELAYED, EXPIRES, FINISHED, HELD, HISTORY, MessageBytes, REPLACES, Record, Status, VERSION,
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
        2 => Record::Delete { queue: reader.u64()? },
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
        10 => Record::Move {
            from: reader.u64()?,
            position: reader.u64()?,
            to: reader.u64()?,
            at: reader.time()?,
            history: history::read(&mut reader)?,
            message: read_message(&mut reader),
        },
        11 => Record::Marks { queue: reader.u64()?, marks: read_marks(&mut reader)? },
        12 => Record::Retain { queue: reader.u64()?, position: reader.u64()? },
        13 => Record::End { queues: read_numbers(&mut reader)? },
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
        length_max: reader.u64()?,
        overflow: match reader.u8()? {
            0 => Overflow::Reject,
            1 => Overflow::DropHead,
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
