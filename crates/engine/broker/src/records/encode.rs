//! Records into bytes.

use std::time::Duration;

use forebay_core::queue::{DeadLetterExchange, Lifetime, Order, Overflow, QueueSettings, Retain};

use super::bytes::Writer;
use super::{
    ATTEMPTS, DELAYED, EXPIRES, FINISHED, HELD, HISTORY, MOVE_EXPIRES, MOVE_NEWEST, MOVE_STAYS, MessageBytes,
    REPLACES, Record, SETTINGS_BYTES, SETTINGS_EXCHANGE, SETTINGS_KEY, SETTINGS_TTL, Status, VERSION,
    history,
};

impl Record<'_> {
    /// The kind under which the log keeps it.
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Declare { .. } => 1,
            Self::Delete { .. } => 2,
            Self::Purge { .. } => 3,
            Self::Put { .. } => 4,
            Self::Deliver { .. } => 5,
            Self::Extend { .. } => 6,
            Self::Settle { .. } => 7,
            Self::Retry { .. } => 8,
            Self::Return { .. } => 9,
            Self::Move { .. } => 10,
            Self::Marks { .. } => 11,
            Self::Retain { .. } => 12,
            Self::End { .. } => 13,
            Self::Reopen { .. } => 15,
            Self::Route { .. } => 14,
        }
    }

    /// Everything before the message.
    pub(crate) fn head(&self) -> Vec<u8> {
        let mut writer = Writer(Vec::with_capacity(40));
        writer.u8(self.kind());
        writer.u8(VERSION);
        match self {
            Self::Declare { number, settings, paused } => {
                writer.u64(*number);
                write_settings(&mut writer, settings);
                writer.u8((*paused).into());
            }
            Self::Purge { queue } => writer.u64(*queue),
            Self::Delete { queue, changes } => {
                writer.u64(*queue);
                changes.iter().for_each(|change| writer.bytes32(change));
            }
            Self::Route { changes } => changes.iter().for_each(|change| writer.bytes32(change)),
            Self::Deliver { queue, position, attempt, token, held_until } => {
                writer.u64(*queue);
                writer.u64(*position);
                writer.u32(*attempt);
                writer.u32(*token);
                writer.time(*held_until);
            }
            Self::Extend { queue, position, held_until: time }
            | Self::Retry { queue, position, at: time } => {
                writer.u64(*queue);
                writer.u64(*position);
                writer.time(*time);
            }
            Self::Settle { queue, position } | Self::Retain { queue, position } => {
                writer.u64(*queue);
                writer.u64(*position);
            }
            Self::Return { queue, position, seen } => {
                writer.u64(*queue);
                writer.u64(*position);
                writer.u8((*seen).into());
            }
            Self::End { queues } | Self::Reopen { queues } => {
                queues.iter().for_each(|queue| writer.u64(*queue))
            }
            Self::Move { from, position, to, at, expires_at, stays, is_newest, history, .. } => {
                writer.u64(*from);
                writer.u64(*position);
                writer.u64(*to);
                writer.time(*at);
                writer.u8(named(MOVE_EXPIRES, expires_at.is_some())
                    | named(MOVE_STAYS, *stays)
                    | named(MOVE_NEWEST, *is_newest));
                expires_at.iter().for_each(|at| writer.time(*at));
                history::write(&mut writer, history);
            }
            Self::Marks { queue, marks } => {
                writer.u64(*queue);
                writer.u32(marks.len() as u32);
                for (at, id) in marks {
                    writer.time(*at);
                    writer.text8(id);
                }
            }
            Self::Put {
                queue,
                position,
                published_at,
                attempts,
                expires_at,
                status,
                replaces,
                history,
                ..
            } => {
                writer.u64(*queue);
                writer.u64(*position);
                writer.time(*published_at);
                writer.u8(named(ATTEMPTS, *attempts > 0)
                    | named(EXPIRES, expires_at.is_some())
                    | named(DELAYED, matches!(status, Status::Delayed { .. }))
                    | named(HELD, matches!(status, Status::Held { .. }))
                    | named(HISTORY, !history.is_empty())
                    | named(FINISHED, *status == Status::Finished)
                    | named(REPLACES, replaces.is_some()));
                if *attempts > 0 {
                    writer.u32(*attempts);
                }
                if let Some(expires_at) = expires_at {
                    writer.time(*expires_at);
                }
                match status {
                    Status::Ready | Status::Finished => {}
                    Status::Delayed { until } => writer.time(*until),
                    Status::Held { token, until } => {
                        writer.u32(*token);
                        writer.time(*until);
                    }
                }
                if let Some(replaces) = replaces {
                    writer.u64(*replaces);
                }
                if !history.is_empty() {
                    history::write(&mut writer, history);
                }
            }
        }
        writer.0
    }

    /// The message at its end, empty where the kind has none.
    pub(crate) fn message(&self) -> MessageBytes<'_> {
        match self {
            Self::Put { message, .. } | Self::Move { message, .. } => *message,
            _ => MessageBytes { head: &[], payload: &[] },
        }
    }
}

fn write_settings(writer: &mut Writer, settings: &QueueSettings) {
    writer.text8(settings.name.as_str());
    writer.u32(settings.retry.attempt_max);
    writer.duration(settings.retry.backoff.first);
    writer.duration(settings.retry.backoff.longest);
    writer.f64(settings.retry.backoff.jitter);
    writer.duration(settings.hold);
    writer.text8(settings.dead_letter.as_ref().map_or("", |name| name.as_str()));
    let (exchange, key) = match &settings.dead_letter_exchange {
        Some(DeadLetterExchange { exchange, key }) => (Some(exchange), key.as_ref()),
        None => (None, None),
    };
    writer.u8(named(SETTINGS_EXCHANGE, exchange.is_some())
        | named(SETTINGS_KEY, key.is_some())
        | named(SETTINGS_TTL, settings.message_ttl.is_some())
        | named(SETTINGS_BYTES, settings.length_bytes_max.is_some()));
    exchange.into_iter().chain(key).for_each(|text| writer.text8(text));
    settings.message_ttl.into_iter().for_each(|ttl| writer.duration(ttl));
    settings.length_bytes_max.into_iter().for_each(|bytes| writer.u64(bytes));
    writer.u64(settings.length_max);
    writer.u8(match settings.overflow {
        Overflow::Reject => 0,
        Overflow::DropHead => 1,
        Overflow::RejectDeadLetter => 2,
    });
    writer.u8(match settings.order {
        Order::Arrival => 0,
        Order::Key => 1,
    });
    writer.u8(settings.priority_max);
    writer.duration(settings.dedup_window);
    writer.duration(match settings.retain {
        Retain::Nothing => Duration::ZERO,
        Retain::For(time) => time,
    });
    writer.u8(settings.newest_by_key.into());
    writer.u8(match settings.lifetime {
        Lifetime::Durable => 0,
        Lifetime::Process => 1,
    });
    writer.bytes32(&settings.declaration);
}

fn named(flag: u8, present: bool) -> u8 {
    if present { flag } else { 0 }
}
