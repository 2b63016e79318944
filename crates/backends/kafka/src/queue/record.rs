//! A queue's settings as they are kept in Kafka: a record of the topic of all queues.

use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::payload::Payload;
use forebay_core::queue::{Backoff, Lifetime, Order, QueueName, QueueSettings, Retain, RetryPolicy};
use serde::{Deserialize, Serialize};

use crate::broker::CAPABILITIES;

/// The first byte of a queue that is there.
const VERSION: u8 = 1;
/// The first byte of one that was deleted.
const DELETED: u8 = 2;

#[derive(Serialize, Deserialize)]
struct Record {
    attempt_max: u32,
    first: Duration,
    longest: Duration,
    jitter: f64,
    hold: Duration,
    dead_letter: Option<String>,
    by_key: bool,
    retain: Option<Duration>,
    dedup_window: Duration,
    declaration: Vec<u8>,
}

/// What is known of a queue.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// Counts its lives: a queue that was deleted and is declared anew is another one, with other topics. Servers and clients
    /// may mistake a new topic for an older one of the same name.
    pub(crate) life: u64,
    /// `None`: it was deleted.
    pub(crate) settings: Option<QueueSettings>,
}

/// Says which setting is not for this broker, if one is.
pub(crate) fn check(settings: &QueueSettings) -> Result<()> {
    settings.check()?;
    CAPABILITIES.check(settings)?;
    let lacks = [
        ("length_max", settings.length_max != limits::QUEUE_LENGTH_DEFAULT),
        ("lifetime", settings.lifetime != Lifetime::default()),
    ];
    match lacks.iter().find(|(_, asked)| *asked) {
        Some((setting, _)) => {
            Err(Error::new(Kind::Unsupported, "declare queue", format!("{}: {setting}", settings.name)))
        }
        None => Ok(()),
    }
}

/// The record of a queue whose settings, if it has some, have been checked.
pub(crate) fn write(entry: &Entry) -> Vec<u8> {
    let Some(settings) = &entry.settings else {
        return [vec![DELETED], postcard::to_allocvec(&entry.life).unwrap_or_default()].concat();
    };
    let record = Record {
        attempt_max: settings.retry.attempt_max,
        first: settings.retry.backoff.first,
        longest: settings.retry.backoff.longest,
        jitter: settings.retry.backoff.jitter,
        hold: settings.hold,
        dead_letter: settings.dead_letter.as_ref().map(|queue| queue.as_str().to_owned()),
        by_key: settings.order == Order::Key,
        retain: match settings.retain {
            Retain::Nothing => None,
            Retain::For(time) => Some(time),
        },
        dedup_window: settings.dedup_window,
        declaration: settings.declaration.to_vec(),
    };
    [vec![VERSION], postcard::to_allocvec(&(entry.life, record)).unwrap_or_default()].concat()
}

/// What a record says of a queue.
pub(crate) fn read(queue: &QueueName, bytes: &[u8]) -> Result<Entry> {
    let damaged = || Error::new(Kind::Damaged, "read settings of queue", queue.as_str());
    let (life, record): (u64, Record) = match bytes.split_first() {
        Some((&DELETED, rest)) => {
            let life = postcard::from_bytes(rest).map_err(|_| damaged())?;
            return Ok(Entry { life, settings: None });
        }
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|_| damaged())?,
        _ => return Err(damaged()),
    };
    let backoff = Backoff { first: record.first, longest: record.longest, jitter: record.jitter };
    let settings = QueueSettings {
        retry: RetryPolicy { attempt_max: record.attempt_max, backoff },
        hold: record.hold,
        dead_letter: record.dead_letter.map(|name| QueueName::new(&name)).transpose()?,
        order: if record.by_key { Order::Key } else { Order::Arrival },
        retain: record.retain.map_or(Retain::Nothing, Retain::For),
        dedup_window: record.dedup_window,
        declaration: Payload::from(record.declaration),
        ..QueueSettings::new(queue.clone())
    };
    check(&settings)?;
    Ok(Entry { life, settings: Some(settings) })
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
            ("retain", format!("{:?}", settings.retain)),
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
        let plain = QueueSettings::new(settings().name);
        let kept = QueueSettings { retain: Retain::For(Duration::from_secs(60)), ..plain.clone() };
        for settings in [settings(), plain, kept] {
            let name = settings.name.clone();
            for settings in [Some(settings), None] {
                let entry = Entry { life: 7, settings };
                assert_eq!(read(&name, &write(&entry)).unwrap(), entry);
            }
        }
    }

    #[test]
    fn a_record_that_cannot_be_read_is_damaged() {
        let name = settings().name;
        for bytes in [&[][..], &[VERSION], &[9, 1, 2], &[VERSION, 255, 255, 255]] {
            assert_eq!(read(&name, bytes).unwrap_err().kind(), Kind::Damaged);
        }
    }

    #[test]
    fn what_kafka_cannot_keep_is_refused_by_name() {
        let refused = |change: fn(&mut QueueSettings)| {
            let mut settings = settings();
            settings.order = Order::Arrival;
            change(&mut settings);
            let refused = check(&settings).unwrap_err();
            assert_eq!(refused.kind(), Kind::Unsupported);
            refused.to_string()
        };
        assert!(refused(|settings| settings.length_max = 7).contains("length_max"));
        assert!(refused(|settings| settings.overflow = Overflow::DropHead).contains("overflow"));
        assert!(refused(|settings| settings.newest_by_key = true).contains("newest_by_key"));
        assert!(refused(|settings| settings.priority_max = 1).contains("priority_max"));
        assert!(refused(|settings| settings.lifetime = Lifetime::Process).contains("lifetime"));
    }

    #[test]
    fn another_declaration_is_no_conflict() {
        let other = QueueSettings { declaration: "others".into(), ..settings() };
        assert!(compare(&settings(), &other).is_ok());
    }
}
