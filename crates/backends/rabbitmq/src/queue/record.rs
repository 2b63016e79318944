//! A queue's settings as they are kept on the server: AMQP does not tell how a queue was declared, so they are the one
//! message of a queue of their own.

use forebay_core::error::Result;
use forebay_core::limits;
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_envelope::record;

use crate::broker::CAPABILITIES;

/// Says which setting is not for this broker, if one is.
pub(crate) fn check(settings: &QueueSettings) -> Result<()> {
    let priorities = settings.priority_max > limits::rabbitmq::PRIORITY_MAX;
    record::check(settings, CAPABILITIES, &[("priority_max above 9", priorities)])
}

/// The record of settings that have been checked.
pub(crate) fn write(settings: &QueueSettings) -> Vec<u8> {
    record::encode((), settings, settings.priority_max)
}

/// The settings of the queue that a record is of.
pub(crate) fn read(queue: &QueueName, bytes: &[u8]) -> Result<QueueSettings> {
    let ((), settings, priority_max) = record::decode(queue, bytes)?;
    let settings = QueueSettings { priority_max, ..settings };
    check(&settings)?;
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use forebay_core::error::Kind;
    use forebay_core::queue::{Backoff, Order};

    use super::*;

    fn settings() -> QueueSettings {
        let name = |name| QueueName::new(name).unwrap();
        let mut settings = QueueSettings::new(name("q"));
        settings.retry.backoff =
            Backoff { first: Duration::from_nanos(1_500), longest: Duration::from_secs(9), jitter: 0.5 };
        settings.dead_letter = Some(name("d"));
        settings.priority_max = 9;
        settings.declaration = "theirs".into();
        settings
    }

    #[test]
    fn settings_come_back_as_they_were_declared() {
        let ordered = QueueSettings { order: Order::Key, ..QueueSettings::new(settings().name) };
        for settings in [settings(), ordered] {
            assert_eq!(read(&settings.name, &write(&settings)).unwrap(), settings);
        }
    }

    #[test]
    fn the_bytes_of_a_record_stay_what_they_are() {
        let hexadecimal: String = write(&settings()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hexadecimal, "010500dc0b0900000000000000e03f1e000101640009780006746865697273");
    }

    #[test]
    fn a_record_that_cannot_be_read_is_damaged() {
        let name = settings().name;
        for bytes in [&[][..], &[1], &[9, 1, 2], &[1, 255, 255, 255]] {
            assert_eq!(read(&name, bytes).unwrap_err().kind(), Kind::Damaged);
        }
    }

    #[test]
    fn what_rabbitmq_cannot_keep_is_refused_by_name() {
        let refused = |change: fn(&mut QueueSettings)| {
            let mut settings = settings();
            change(&mut settings);
            let refused = check(&settings).unwrap_err();
            assert_eq!(refused.kind(), Kind::Unsupported);
            refused.to_string()
        };
        assert!(refused(|settings| settings.length_max = 7).contains("length_max"));
        assert!(refused(|settings| settings.newest_by_key = true).contains("newest_by_key"));
        assert!(refused(|settings| settings.priority_max = 10).contains("priority_max"));
    }
}
