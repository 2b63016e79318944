//! A queue's settings as they are kept on SQS, which knows none of them: they are in the queue's tags.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::payload::Payload;
use forebay_core::queue::{Backoff, Lifetime, Order, QueueName, QueueSettings, RetryPolicy};
use serde::{Deserialize, Serialize};

use crate::broker::CAPABILITIES;

/// Its first byte.
const VERSION: u8 = 1;
/// What the tags are called, with a number behind.
const TAG: &str = "forebay.settings.";

/// What fits into the tags with the rest.
const DECLARATION_BYTES_MAX: usize = 7_000;

#[derive(Serialize, Deserialize)]
struct Record {
    attempt_max: u32,
    first: Duration,
    longest: Duration,
    jitter: f64,
    hold: Duration,
    dead_letter: Option<String>,
    by_key: bool,
    dedup_window: Duration,
    declaration: Vec<u8>,
}

/// Says which setting is not for this broker, if one is.
pub(crate) fn check(settings: &QueueSettings) -> Result<()> {
    settings.check()?;
    CAPABILITIES.check(settings)?;
    let lacks = [
        ("length_max", settings.length_max != limits::QUEUE_LENGTH_DEFAULT),
        ("lifetime", settings.lifetime != Lifetime::default()),
        ("hold above 11 hours 45 minutes", settings.hold > limits::sqs::HOLD_MAX),
        ("backoff.longest above 11 hours where order is kept", {
            settings.order == Order::Key && settings.retry.backoff.longest > limits::sqs::HIDDEN_MAX
        }),
        ("declaration above 7 KiB", settings.declaration.len() > DECLARATION_BYTES_MAX),
    ];
    match lacks.iter().find(|(_, asked)| *asked) {
        Some((setting, _)) => {
            Err(Error::new(Kind::Unsupported, "declare queue", format!("{}: {setting}", settings.name)))
        }
        None => Ok(()),
    }
}

/// The tags of settings that have been checked.
pub(crate) fn write(settings: &QueueSettings) -> HashMap<String, String> {
    let record = Record {
        attempt_max: settings.retry.attempt_max,
        first: settings.retry.backoff.first,
        longest: settings.retry.backoff.longest,
        jitter: settings.retry.backoff.jitter,
        hold: settings.hold,
        dead_letter: settings.dead_letter.as_ref().map(|queue| queue.as_str().to_owned()),
        by_key: settings.order == Order::Key,
        dedup_window: settings.dedup_window,
        declaration: settings.declaration.to_vec(),
    };
    let mut bytes = vec![VERSION];
    bytes.extend(postcard::to_allocvec(&record).unwrap_or_default());
    let text = BASE64.encode(bytes);
    let parts = text.as_bytes().chunks(limits::sqs::TAG_CHARS_MAX).map(String::from_utf8_lossy);
    parts.enumerate().map(|(number, part)| (format!("{TAG}{number}"), part.into_owned())).collect()
}

/// The settings of the queue that has these tags; `None` if it was not declared as one of ours.
pub(crate) fn read(queue: &QueueName, tags: &HashMap<String, String>) -> Result<Option<QueueSettings>> {
    let damaged = || Error::new(Kind::Damaged, "read settings of queue", queue.as_str());
    let parts = (0..limits::sqs::TAGS_MAX).map_while(|number| tags.get(&format!("{TAG}{number}")));
    let text: String = parts.map(String::as_str).collect();
    if text.is_empty() {
        return Ok(None);
    }
    let bytes = BASE64.decode(text).map_err(|_| damaged())?;
    let (version, rest) = bytes.split_first().ok_or_else(damaged)?;
    if *version != VERSION {
        return Err(damaged());
    }
    let record: Record = postcard::from_bytes(rest).map_err(|_| damaged())?;
    let backoff = Backoff { first: record.first, longest: record.longest, jitter: record.jitter };
    let settings = QueueSettings {
        retry: RetryPolicy { attempt_max: record.attempt_max, backoff },
        hold: record.hold,
        dead_letter: record.dead_letter.map(|name| QueueName::new(&name)).transpose()?,
        order: if record.by_key { Order::Key } else { Order::Arrival },
        dedup_window: record.dedup_window,
        declaration: Payload::from(record.declaration),
        ..QueueSettings::new(queue.clone())
    };
    check(&settings)?;
    Ok(Some(settings))
}

/// `Conflict` if they differ, with the setting and both sides.
pub(crate) fn compare(present: &QueueSettings, asked: &QueueSettings) -> Result<()> {
    let sides = |settings: &QueueSettings| {
        let QueueSettings { retry: RetryPolicy { attempt_max, backoff }, .. } = settings;
        [
            ("attempt_max", format!("{attempt_max}")),
            ("backoff.first", format!("{:?}", backoff.first)),
            ("backoff.longest", format!("{:?}", backoff.longest)),
            ("backoff.jitter", format!("{:?}", backoff.jitter)),
            ("hold", format!("{:?}", settings.hold)),
            ("dead_letter", format!("{:?}", settings.dead_letter)),
            ("order", format!("{:?}", settings.order)),
            ("dedup_window", format!("{:?}", settings.dedup_window)),
        ]
    };
    for ((setting, present), (_, asked_for)) in sides(present).into_iter().zip(sides(asked)) {
        if present != asked_for {
            let context = format!("{}: {setting} is {present}, not {asked_for}", asked.name);
            return Err(Error::new(Kind::Conflict, "declare queue", context));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use forebay_core::queue::Overflow;

    use super::*;

    fn settings() -> QueueSettings {
        let name = |name| QueueName::new(name).unwrap();
        let mut settings = QueueSettings::new(name("q"));
        settings.retry.backoff = Backoff {
            first: Duration::from_nanos(1_500),
            longest: Duration::from_secs(9),
            jitter: 0.1 + 0.2,
        };
        settings.dead_letter = Some(name("d"));
        settings.order = Order::Key;
        settings.declaration = "theirs".into();
        settings
    }

    #[test]
    fn settings_come_back_as_they_were_declared() {
        let settings = settings();
        assert_eq!(read(&settings.name, &write(&settings)).unwrap().unwrap(), settings);
        let plain = QueueSettings::new(settings.name.clone());
        assert_eq!(read(&plain.name, &write(&plain)).unwrap().unwrap(), plain);
        let long = QueueSettings { declaration: vec![7; DECLARATION_BYTES_MAX].into(), ..settings };
        let tags = write(&long);
        assert!(tags.len() <= limits::sqs::TAGS_MAX);
        assert!(tags.values().all(|value| value.len() <= limits::sqs::TAG_CHARS_MAX));
        assert_eq!(read(&long.name, &tags).unwrap().unwrap(), long);
    }

    #[test]
    fn tags_that_cannot_be_read_are_damaged_and_a_queue_without_them_is_not_ours() {
        let name = settings().name;
        for value in ["?", "AQ==", "CQEC", "Af///w=="] {
            let tags = HashMap::from([(format!("{TAG}0"), value.to_owned())]);
            assert_eq!(read(&name, &tags).unwrap_err().kind(), Kind::Damaged);
        }
        let theirs = HashMap::from([("team".to_owned(), "shop".to_owned())]);
        assert_eq!(read(&name, &theirs).unwrap(), None);
    }

    #[test]
    fn what_sqs_cannot_keep_is_refused_by_name() {
        let refused = |change: fn(&mut QueueSettings)| {
            let mut settings = settings();
            change(&mut settings);
            let refused = check(&settings).unwrap_err();
            assert_eq!(refused.kind(), Kind::Unsupported);
            refused.to_string()
        };
        assert!(refused(|settings| settings.length_max = 7).contains("length_max"));
        assert!(refused(|settings| settings.overflow = Overflow::DropHead).contains("overflow"));
        assert!(refused(|settings| settings.newest_by_key = true).contains("newest_by_key"));
        assert!(refused(|settings| settings.lifetime = Lifetime::Process).contains("lifetime"));
        assert!(refused(|settings| settings.hold = limits::HOLD_MAX).contains("hold"));
        assert!(refused(|settings| settings.declaration = vec![0; 7_001].into()).contains("declaration"));
        let day = Duration::from_secs(24 * 3600);
        let longest = |settings: &mut QueueSettings| settings.retry.backoff.longest = day;
        let mut settings = settings();
        longest(&mut settings);
        assert!(check(&settings).unwrap_err().to_string().contains("backoff.longest"));
        settings.order = Order::Arrival;
        assert!(check(&settings).is_ok());
    }

    #[test]
    fn another_declaration_is_no_conflict() {
        let other = QueueSettings { declaration: "others".into(), ..settings() };
        assert!(compare(&settings(), &other).is_ok());
    }
}
