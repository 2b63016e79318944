//! A queue's settings as they are kept in Kafka: a record of the topic of all queues.

use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::queue::{QueueName, QueueSettings, Retain};
use forebay_envelope::record;

use crate::broker::CAPABILITIES;

/// The first byte of a queue that was deleted, in place of the version of its settings.
const DELETED: u8 = 2;

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
    record::check(settings, CAPABILITIES, &[])
}

/// The record of a queue whose settings, if it has some, have been checked.
pub(crate) fn write(entry: &Entry) -> Vec<u8> {
    let Some(settings) = &entry.settings else {
        return postcard::to_extend(&entry.life, vec![DELETED]).unwrap_or_default();
    };
    let retain = match settings.retain {
        Retain::Nothing => None,
        Retain::For(time) => Some(time),
    };
    record::encode(entry.life, settings, retain)
}

/// What a record says of a queue.
pub(crate) fn read(queue: &QueueName, bytes: &[u8]) -> Result<Entry> {
    if let Some((&DELETED, rest)) = bytes.split_first() {
        let damaged = |_| Error::new(Kind::Damaged, "read settings of queue", queue.as_str());
        return Ok(Entry { life: postcard::from_bytes(rest).map_err(damaged)?, settings: None });
    }
    let (life, settings, retain) = record::decode::<u64, Option<Duration>>(queue, bytes)?;
    let settings = QueueSettings { retain: retain.map_or(Retain::Nothing, Retain::For), ..settings };
    check(&settings)?;
    Ok(Entry { life, settings: Some(settings) })
}

#[cfg(test)]
mod tests {
    use forebay_core::queue::{Backoff, Order};

    use super::*;

    fn settings() -> QueueSettings {
        let name = |name| QueueName::new(name).unwrap();
        let mut settings = QueueSettings::new(name("q"));
        settings.retry.backoff =
            Backoff { first: Duration::from_nanos(1_500), longest: Duration::from_secs(9), jitter: 0.5 };
        settings.dead_letter = Some(name("d"));
        settings.retain = Retain::For(Duration::from_secs(60));
        settings.declaration = "theirs".into();
        settings
    }

    #[test]
    fn settings_come_back_as_they_were_declared() {
        let ordered = QueueSettings { order: Order::Key, ..QueueSettings::new(settings().name) };
        for settings in [settings(), ordered] {
            let name = settings.name.clone();
            for settings in [Some(settings), None] {
                let entry = Entry { life: 7, settings };
                assert_eq!(read(&name, &write(&entry)).unwrap(), entry);
            }
        }
    }

    #[test]
    fn the_bytes_of_a_record_stay_what_they_are() {
        let hexadecimal = |settings| {
            let bytes = write(&Entry { life: 300, settings });
            bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        let told = "01ac020500dc0b0900000000000000e03f1e0001016400013c00780006746865697273";
        assert_eq!(hexadecimal(Some(settings())), told);
        assert_eq!(hexadecimal(None), "02ac02");
    }

    #[test]
    fn a_record_that_cannot_be_read_is_damaged() {
        let name = settings().name;
        for bytes in [&[][..], &[1], &[9, 1, 2], &[1, 255, 255, 255], &[DELETED]] {
            assert_eq!(read(&name, bytes).unwrap_err().kind(), Kind::Damaged);
        }
    }

    #[test]
    fn what_kafka_cannot_keep_is_refused_by_name() {
        let refused = |change: fn(&mut QueueSettings)| {
            let mut settings = settings();
            change(&mut settings);
            let refused = check(&settings).unwrap_err();
            assert_eq!(refused.kind(), Kind::Unsupported);
            refused.to_string()
        };
        assert!(refused(|settings| settings.length_max = 7).contains("length_max"));
        assert!(refused(|settings| settings.newest_by_key = true).contains("newest_by_key"));
        assert!(refused(|settings| settings.priority_max = 1).contains("priority_max"));
    }
}
