//! A queue's settings as they are kept on SQS, which knows none of them: they are in the queue's tags.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::sqs as limits;
use forebay_core::queue::{Order, QueueName, QueueSettings};
use forebay_envelope::record;

use crate::broker::CAPABILITIES;

/// What the tags are called, with a number behind.
const TAG: &str = "forebay.settings.";

/// What fits into the tags with the rest.
const DECLARATION_BYTES_MAX: usize = 7_000;

/// Says which setting is not for this broker, if one is.
pub(crate) fn check(settings: &QueueSettings) -> Result<()> {
    let lacks = [
        ("hold above 11 hours 45 minutes", settings.hold > limits::HOLD_MAX),
        ("backoff.longest above 11 hours where order is kept", {
            settings.order == Order::Key && settings.retry.backoff.longest > limits::HIDDEN_MAX
        }),
        ("declaration above 7 KiB", settings.declaration.len() > DECLARATION_BYTES_MAX),
    ];
    record::check(settings, CAPABILITIES, &lacks)
}

/// The tags of settings that have been checked.
pub(crate) fn write(settings: &QueueSettings) -> HashMap<String, String> {
    let text = BASE64.encode(record::encode((), settings, ()));
    let parts = text.as_bytes().chunks(limits::TAG_CHARS_MAX).map(String::from_utf8_lossy);
    parts.enumerate().map(|(number, part)| (format!("{TAG}{number}"), part.into_owned())).collect()
}

/// The settings of the queue that has these tags; `None` if it was not declared as one of ours.
pub(crate) fn read(queue: &QueueName, tags: &HashMap<String, String>) -> Result<Option<QueueSettings>> {
    let parts = (0..limits::TAGS_MAX).map_while(|number| tags.get(&format!("{TAG}{number}")));
    let text: String = parts.map(String::as_str).collect();
    if text.is_empty() {
        return Ok(None);
    }
    let damaged = |_| Error::new(Kind::Damaged, "read settings of queue", queue.as_str());
    let bytes = BASE64.decode(text).map_err(damaged)?;
    let ((), settings, ()) = record::decode(queue, &bytes)?;
    check(&settings)?;
    Ok(Some(settings))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use forebay_core::queue::Backoff;

    use super::*;

    fn settings() -> QueueSettings {
        let name = |name| QueueName::new(name).unwrap();
        let mut settings = QueueSettings::new(name("q"));
        settings.retry.backoff =
            Backoff { first: Duration::from_nanos(1_500), longest: Duration::from_secs(9), jitter: 0.5 };
        settings.dead_letter = Some(name("d"));
        settings.order = Order::Key;
        settings.declaration = "theirs".into();
        settings
    }

    #[test]
    fn settings_come_back_as_they_were_declared() {
        let settings = settings();
        let plain = QueueSettings::new(settings.name.clone());
        let long = QueueSettings { declaration: vec![7; DECLARATION_BYTES_MAX].into(), ..settings.clone() };
        for settings in [settings, plain, long] {
            let tags = write(&settings);
            assert!(tags.len() <= limits::TAGS_MAX);
            assert!(tags.values().all(|value| value.len() <= limits::TAG_CHARS_MAX));
            assert_eq!(read(&settings.name, &tags).unwrap().unwrap(), settings);
        }
    }

    #[test]
    fn what_is_in_the_tags_stays_what_it_is() {
        let told = "AQUA3AsJAAAAAAAAAOA/HgABAWQBeAAGdGhlaXJz";
        assert_eq!(write(&settings()), HashMap::from([(format!("{TAG}0"), told.to_owned())]));
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
        assert!(refused(|settings| settings.newest_by_key = true).contains("newest_by_key"));
        assert!(refused(|settings| settings.hold = forebay_core::limits::HOLD_MAX).contains("hold"));
        assert!(refused(|settings| settings.declaration = vec![0; 7_001].into()).contains("declaration"));
        let longest = |settings: &mut QueueSettings| {
            settings.retry.backoff.longest = Duration::from_secs(24 * 3600);
        };
        assert!(refused(longest).contains("backoff.longest"));
        let mut settings = settings();
        longest(&mut settings);
        settings.order = Order::Arrival;
        assert!(check(&settings).is_ok());
    }
}
