//! The history of a dead letter: its bytes, and how it grows.
//!
//! *history* is a count `u8` of: queue `text8`, reason `u8` (1 rejected, 2 attempts spent, 3 expired, 4 overflow),
//! count `u64`, latest `time`, attempts `u32`, note present `u8`, note `text16`. The newest comes last.

use forebay_core::delivery::{History, Reason};
use forebay_core::limits;
use forebay_core::queue::QueueName;

use super::bytes::{Reader, Writer, cut};

/// Adds one more departure. The same queue and reason count on in one entry, which becomes the newest; beyond the
/// limit the oldest gives way.
pub(crate) fn add(history: &mut Vec<History>, mut newest: History) {
    newest.note = newest.note.map(|note| cut(&note, limits::NOTE_BYTES_MAX).to_owned());
    let same = |entry: &History| entry.queue == newest.queue && entry.reason == newest.reason;
    if let Some(place) = history.iter().position(same) {
        newest.count += history.remove(place).count;
    } else if history.len() >= limits::HISTORY_ENTRIES_MAX {
        history.remove(0);
    }
    history.push(newest);
}

/// Leaves out what can be spared first: the oldest line, or the note of the only one. Says whether there was anything.
pub(crate) fn shorten(history: &mut Vec<History>) -> bool {
    if history.len() > 1 {
        history.remove(0);
        return true;
    }
    history.first_mut().is_some_and(|only| only.note.take().is_some())
}

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
        });
        writer.u64(entry.count);
        writer.time(entry.at);
        writer.u32(entry.attempts);
        writer.u8(entry.note.is_some().into());
        writer.text16(cut(entry.note.as_deref().unwrap_or_default(), limits::NOTE_BYTES_MAX));
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
    Some(History {
        queue: QueueName::new(reader.text8()?).ok()?,
        reason: match reader.u8()? {
            1 => Reason::Rejected,
            2 => Reason::AttemptsSpent,
            3 => Reason::Expired,
            4 => Reason::Overflow,
            _ => return None,
        },
        count: reader.u64()?,
        at: reader.time()?,
        attempts: reader.u32()?,
        note: {
            let present = reader.u8()?;
            let note = reader.text16()?;
            match present {
                0 if note.is_empty() => None,
                1 => Some(note.to_owned()),
                _ => return None,
            }
        },
    })
}
