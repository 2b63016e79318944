//! A queue's settings as they lie in the server, and where two differ.

use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::payload::Payload;
use forebay_core::queue::{Backoff, Lifetime, Order, Overflow, QueueName, QueueSettings, RetryPolicy};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The settings that a queue of this broker can have, as JSON. The jitter is told by its bits: it must come back the same.
#[derive(Serialize, Deserialize)]
struct Stored {
    attempt_max: u32,
    backoff_first_ns: u64,
    backoff_longest_ns: u64,
    backoff_jitter_bits: u64,
    hold_ns: u64,
    dead_letter: Option<String>,
    message_ttl_ns: Option<u64>,
    length_max: u64,
    drop_head: bool,
    order_by_key: bool,
    priority_max: u8,
    dedup_window_ns: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    declaration: Vec<u8>,
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// In milliseconds, rounded up, as scripts take it.
pub(crate) fn ms(time: Duration) -> String {
    time.as_nanos().div_ceil(1_000_000).to_string()
}

/// Refuses by name what a queue asks for and this broker cannot keep, beyond what its capabilities say.
pub(super) fn check(settings: &QueueSettings) -> Result<()> {
    settings.check()?;
    let lacks = [
        (
            settings.order == Order::Key && settings.overflow == Overflow::DropHead,
            "order by key with drop_head",
        ),
        (settings.lifetime != Lifetime::Durable, "lifetime of a process"),
    ];
    match lacks.into_iter().find(|(asked, _)| *asked) {
        Some((_, what)) => {
            let context = format!("{}: {what} on Redis", settings.name);
            Err(Error::new(Kind::Unsupported, "declare queue", context))
        }
        None => Ok(()),
    }
}

/// The fields of the queue's hash, as JSON.
pub(super) fn fields(settings: &QueueSettings) -> String {
    let stored = Stored {
        attempt_max: settings.retry.attempt_max,
        backoff_first_ns: ns(settings.retry.backoff.first),
        backoff_longest_ns: ns(settings.retry.backoff.longest),
        backoff_jitter_bits: settings.retry.backoff.jitter.to_bits(),
        hold_ns: ns(settings.hold),
        dead_letter: settings.dead_letter.as_ref().map(|name| name.as_str().to_owned()),
        message_ttl_ns: settings.message_ttl.map(ns),
        length_max: settings.length_max,
        drop_head: settings.overflow == Overflow::DropHead,
        order_by_key: settings.order == Order::Key,
        priority_max: settings.priority_max,
        dedup_window_ns: ns(settings.dedup_window),
        declaration: settings.declaration.to_vec(),
    };
    json!({
        "settings": json!(stored).to_string(),
        "order": if stored.order_by_key { "key" } else { "arrival" },
        "classes": stored.priority_max.to_string(),
        "length": stored.length_max.to_string(),
        "overflow": if stored.drop_head { "drop" } else { "reject" },
        "window": ms(settings.dedup_window),
        "ttl": settings.message_ttl.map_or_else(|| "-1".to_owned(), ms),
        "dead": stored.dead_letter.unwrap_or_default(),
        "hold": ms(settings.hold),
    })
    .to_string()
}

/// Reads what `fields` wrote as `settings`.
pub(super) fn read(name: &QueueName, settings: &[u8]) -> Option<QueueSettings> {
    let stored: Stored = serde_json::from_slice(settings).ok()?;
    let backoff = Backoff {
        first: Duration::from_nanos(stored.backoff_first_ns),
        longest: Duration::from_nanos(stored.backoff_longest_ns),
        jitter: f64::from_bits(stored.backoff_jitter_bits),
    };
    let dead_letter = stored.dead_letter.map(|name| QueueName::new(&name)).transpose().ok()?;
    Some(QueueSettings {
        retry: RetryPolicy { attempt_max: stored.attempt_max, backoff },
        hold: Duration::from_nanos(stored.hold_ns),
        dead_letter,
        message_ttl: stored.message_ttl_ns.map(Duration::from_nanos),
        length_max: stored.length_max,
        overflow: if stored.drop_head { Overflow::DropHead } else { Overflow::Reject },
        order: if stored.order_by_key { Order::Key } else { Order::Arrival },
        priority_max: stored.priority_max,
        dedup_window: Duration::from_nanos(stored.dedup_window_ns),
        declaration: Payload::from(stored.declaration),
        ..QueueSettings::new(name.clone())
    })
}

/// Names the first setting that differs, with both sides. What a front knows a queue by may differ.
pub(super) fn difference(present: &QueueSettings, asked: &QueueSettings) -> Option<String> {
    macro_rules! compare {
        ($($name:literal $($field:ident).+;)*) => {
            $(
                if present.$($field).+ != asked.$($field).+ {
                    let (is, wanted) = (&present.$($field).+, &asked.$($field).+);
                    return Some(format!("{} is {is:?} and not {wanted:?}", $name));
                }
            )*
        };
    }
    compare! {
        "attempt_max" retry.attempt_max;
        "backoff first" retry.backoff.first;
        "backoff longest" retry.backoff.longest;
        "backoff jitter" retry.backoff.jitter;
        "hold" hold;
        "dead_letter" dead_letter;
        "message_ttl" message_ttl;
        "length_max" length_max;
        "overflow" overflow;
        "order" order;
        "priority_max" priority_max;
        "dedup_window" dedup_window;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> QueueName {
        QueueName::new(name).unwrap()
    }

    #[test]
    fn settings_read_back_as_they_were() {
        let mut settings = QueueSettings::new(named("q"));
        settings.retry.backoff.first = Duration::from_nanos(1_500);
        settings.retry.backoff.jitter = 0.1 + 0.2;
        settings.dead_letter = Some(named("d \"{}"));
        settings.message_ttl = Some(Duration::from_micros(7));
        settings.overflow = Overflow::DropHead;
        settings.priority_max = 9;
        settings.declaration = Payload::from(&[0, 255][..]);
        let fields: serde_json::Value = serde_json::from_str(&fields(&settings)).unwrap();
        let stored = fields["settings"].as_str().unwrap();
        assert_eq!(read(&settings.name, stored.as_bytes()), Some(settings.clone()));
        assert_eq!(difference(&settings, &settings), None);
        assert_eq!(fields["ttl"], "1", "rounded up");
    }

    #[test]
    fn what_cannot_be_kept_is_refused_by_name() {
        let refused = |change: fn(&mut QueueSettings)| {
            let mut settings = QueueSettings::new(named("q"));
            change(&mut settings);
            let error = check(&settings).unwrap_err();
            assert_eq!(error.kind(), Kind::Unsupported);
            error.to_string()
        };
        assert!(refused(|settings| settings.lifetime = Lifetime::Process).contains("lifetime"));
        let both = |settings: &mut QueueSettings| {
            (settings.order, settings.overflow) = (Order::Key, Overflow::DropHead);
        };
        assert!(refused(both).contains("drop_head"));
    }
}
