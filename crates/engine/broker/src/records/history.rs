//! The history of a dead letter: its bytes, and how it grows.
//!
//! *history* is a count `u8` of: queue `text8`, reason `u8` (1 rejected, 2 attempts spent, 3 expired, 4 overflow, 5 delivery
//! limit), count `u64`, latest `time`, attempts `u32`, flags `u8` (1 note, 2 exchange, 4 time to live), then, if named: note
//! `text16`, exchange `text8`, time to live `u64` nanoseconds; then a count `u8` of routing keys `text8`. The newest comes
//! last.

use forebay_core::delivery::{History, Reason};
use forebay_core::limits;
use forebay_core::queue::QueueName;

use super::bytes::{Reader, Writer, cut};

/// Adds one more departure. What is told of its keys is bounded. The same queue and reason count on in one entry, which becomes the newest; beyond the
/// limit the oldest gives way.
pub(crate) fn add(history: &mut Vec<History>, mut newest: History) {
    newest.note = newest.note.map(|note| cut(&note, limits::NOTE_BYTES_MAX).to_owned());
    newest.routing_keys.retain(|key| key.len() <= limits::ROUTING_KEY_BYTES_MAX);
    newest.routing_keys.truncate(limits::HISTORY_KEYS_MAX);
    let same = |entry: &History| entry.queue == newest.queue && entry.reason == newest.reason;
    if let Some(place) = history.iter().position(same) {
        let before = history.remove(place);
        newest.count += before.count;
        // How it had come there is told of the first time.
        newest.exchange = before.exchange;
        newest.routing_keys = before.routing_keys;
        newest.time_to_live = before.time_to_live;
    } else if history.len() >= limits::HISTORY_ENTRIES_MAX {
        history.remove(0);
    }
    history.push(newest);
}

/// Leaves out what can be spared first: the oldest line, or of the only one the note, then how it had come. Says whether there
/// was anything.
pub(crate) fn shorten(history: &mut Vec<History>) -> bool {
    if history.len() > 1 {
        history.remove(0);
        return true;
    }
    history.first_mut().is_some_and(|only| {
        only.note.take().is_some() || only.routing_keys.pop().is_some() || only.exchange.take().is_some()
    })
}

const NOTE: u8 = 1;
const EXCHANGE: u8 = 2;
const TIME_TO_LIVE: u8 = 4;

pub(super) fn write(writer: &mut Writer, history: &[History]) {
    let newest = &history[history.len().saturating_sub(limits::HISTORY_ENTRIES_MAX)..];
    writer.u8(newest.len() as u8);
    for entry in newest {
        writer.text8(entry.queue.as_str());
        writer.u8(match entry.reason {
            Reason::Rejected => 1,
            Reason::AttemptsSpent => 2,
            Reason::Expired => 3,
            Reason::Overflow => 4,
            Reason::DeliveryLimit => 5,
        });
        writer.u64(entry.count);
        writer.time(entry.at);
        writer.u32(entry.attempts);
        let named = |flag: u8, present: bool| if present { flag } else { 0 };
        writer.u8(named(NOTE, entry.note.is_some())
            | named(EXCHANGE, entry.exchange.is_some())
            | named(TIME_TO_LIVE, entry.time_to_live.is_some()));
        entry.note.iter().for_each(|note| writer.text16(cut(note, limits::NOTE_BYTES_MAX)));
        entry.exchange.iter().for_each(|exchange| writer.text8(exchange));
        entry.time_to_live.into_iter().for_each(|time| writer.duration(time));
        let keys = entry.routing_keys.iter().take(limits::HISTORY_KEYS_MAX);
        writer.u8(keys.len() as u8);
        keys.for_each(|key| writer.text8(key));
    }
}

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Vec<History>> {
    let count = reader.u8()?;
    if usize::from(count) > limits::HISTORY_ENTRIES_MAX {
        return None;
    }
    (0..count).map(|_| read_entry(reader)).collect()
}

fn read_entry(reader: &mut Reader<'_>) -> Option<History> {
    let queue = QueueName::new(reader.text8()?).ok()?;
    let reason = match reader.u8()? {
        1 => Reason::Rejected,
        2 => Reason::AttemptsSpent,
        3 => Reason::Expired,
        4 => Reason::Overflow,
        5 => Reason::DeliveryLimit,
        _ => return None,
    };
    let (count, at, attempts, flags) = (reader.u64()?, reader.time()?, reader.u32()?, reader.u8()?);
    if flags & !(NOTE | EXCHANGE | TIME_TO_LIVE) != 0 {
        return None;
    }
    let named = |flag| flags & flag != 0;
    let note = if named(NOTE) { Some(reader.text16()?.to_owned()) } else { None };
    let exchange = if named(EXCHANGE) { Some(reader.text8()?.to_owned()) } else { None };
    let time_to_live = if named(TIME_TO_LIVE) { Some(reader.duration()?) } else { None };
    let keys = reader.u8()?;
    if usize::from(keys) > limits::HISTORY_KEYS_MAX {
        return None;
    }
    let routing_keys = (0..keys).map(|_| Some(reader.text8()?.to_owned())).collect::<Option<_>>()?;
    Some(History { queue, reason, count, at, attempts, note, exchange, routing_keys, time_to_live })
}
