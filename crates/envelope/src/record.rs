//! A queue's settings as bytes, where they are kept with a broker that has no room for them; which of them it can keep, and
//! where two of them differ.

use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::payload::Payload;
use forebay_core::ports::broker::BrokerCapabilities;
use forebay_core::queue::{Backoff, Lifetime, Order, QueueName, QueueSettings, RetryPolicy};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::version;

/// The first byte.
const VERSION: u8 = 1;
const DECLARE: &str = "declare queue";

#[derive(Serialize, Deserialize)]
struct Stored<Own> {
    attempt_max: u32,
    first: Duration,
    longest: Duration,
    jitter: f64,
    hold: Duration,
    dead_letter: Option<String>,
    by_key: bool,
    own: Own,
    dedup_window: Duration,
    declaration: Vec<u8>,
}

/// Refuses by name what a queue asks for and its broker cannot keep: beyond what its capabilities say, what none of these
/// brokers keeps, and of `lacks` what is asked for.
pub fn check(
    settings: &QueueSettings,
    capabilities: BrokerCapabilities,
    lacks: &[(&str, bool)],
) -> Result<()> {
    settings.check()?;
    capabilities.check(settings)?;
    let lacked = [("lifetime", settings.lifetime != Lifetime::default())];
    match lacked.iter().chain(lacks).find(|(_, asked)| *asked) {
        Some((setting, _)) => {
            Err(Error::new(Kind::Unsupported, DECLARE, format!("{}: {setting}", settings.name)))
        }
        None => Ok(()),
    }
}

/// Settings that have been checked, behind what a backend writes before them; `own` are those that it has beyond what all
/// have.
pub fn encode(before: impl Serialize, settings: &QueueSettings, own: impl Serialize) -> Vec<u8> {
    let RetryPolicy { attempt_max, backoff: Backoff { first, longest, jitter } } = settings.retry;
    let stored = Stored {
        attempt_max,
        first,
        longest,
        jitter,
        hold: settings.hold,
        dead_letter: settings.dead_letter.as_ref().map(|queue| queue.as_str().to_owned()),
        by_key: settings.order == Order::Key,
        own,
        dedup_window: settings.dedup_window,
        declaration: settings.declaration.to_vec(),
    };
    version::encode(VERSION, &(before, stored))
}

/// What was encoded for this queue, its settings still to be checked; `Damaged` if it never was.
pub fn decode<Before, Own>(queue: &QueueName, bytes: &[u8]) -> Result<(Before, QueueSettings, Own)>
where
    Before: DeserializeOwned,
    Own: DeserializeOwned,
{
    let read = || {
        let (before, stored): (Before, Stored<Own>) = version::decode(VERSION, bytes)?;
        let backoff = Backoff { first: stored.first, longest: stored.longest, jitter: stored.jitter };
        let settings = QueueSettings {
            retry: RetryPolicy { attempt_max: stored.attempt_max, backoff },
            hold: stored.hold,
            dead_letter: stored.dead_letter.map(|name| QueueName::new(&name)).transpose().ok()?,
            order: if stored.by_key { Order::Key } else { Order::Arrival },
            dedup_window: stored.dedup_window,
            declaration: Payload::from(stored.declaration),
            ..QueueSettings::new(queue.clone())
        };
        Some((before, settings, stored.own))
    };
    read().ok_or_else(|| Error::new(Kind::Damaged, "read settings of queue", queue.as_str()))
}

/// `Conflict` if they differ, with the setting and both sides. What a front knows a queue by may differ.
pub fn compare(present: &QueueSettings, asked: &QueueSettings) -> Result<()> {
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
            ("priority_max", format!("{}", settings.priority_max)),
            ("retain", format!("{:?}", settings.retain)),
            ("dedup_window", format!("{:?}", settings.dedup_window)),
        ]
    };
    for ((setting, present), (_, asked_for)) in sides(present).into_iter().zip(sides(asked)) {
        if present != asked_for {
            let context = format!("{}: {setting} is {present}, not {asked_for}", asked.name);
            return Err(Error::new(Kind::Conflict, DECLARE, context));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use forebay_core::queue::{Overflow, Retain};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn name(name: &str) -> QueueName {
        QueueName::new(name).unwrap()
    }

    fn settings() -> QueueSettings {
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
        for settings in [settings(), QueueSettings::new(name("q"))] {
            let bytes = encode(7_u64, &settings, Some(Duration::from_millis(5)));
            let read = decode::<u64, Option<Duration>>(&settings.name, &bytes).unwrap();
            assert_eq!(read, (7, settings, Some(Duration::from_millis(5))));
        }
    }

    #[test]
    fn a_dead_letter_queue_without_a_name_is_damage() {
        let nameless = Stored {
            attempt_max: 1,
            first: Duration::ZERO,
            longest: Duration::ZERO,
            jitter: 0.0,
            hold: Duration::ZERO,
            dead_letter: Some(String::new()),
            by_key: false,
            own: (),
            dedup_window: Duration::ZERO,
            declaration: Vec::new(),
        };
        let bytes = version::encode(VERSION, &((), nameless));
        assert_eq!(decode::<(), ()>(&name("q"), &bytes).unwrap_err().kind(), Kind::Damaged);
    }

    proptest! {
        #[test]
        fn any_bytes_are_settings_or_damage(bytes in vec(any::<u8>(), 0..100), cut in 0..100_usize, at: u8) {
            let whole = encode((), &settings(), 3_u8);
            let mut spoiled = whole.clone();
            spoiled.truncate(cut);
            spoiled.extend(&bytes);
            let behind = [&[VERSION], &bytes[..]].concat();
            let mut changed = whole;
            let place = usize::from(at) % changed.len();
            changed[place] ^= bytes.first().copied().unwrap_or(1);
            for bytes in [bytes, behind, spoiled, changed] {
                if let Err(error) = decode::<(), u8>(&name("q"), &bytes) {
                    prop_assert_eq!(error.kind(), Kind::Damaged);
                }
            }
        }
    }

    #[test]
    fn what_a_broker_cannot_keep_is_refused_by_name() {
        let all = BrokerCapabilities { order_by_key: true, ..BrokerCapabilities::NONE };
        let refused = |change: fn(&mut QueueSettings), lacks: &[(&str, bool)]| {
            let mut settings = QueueSettings::new(name("q"));
            change(&mut settings);
            let refused = check(&settings, all, lacks).unwrap_err();
            assert_eq!(refused.kind(), Kind::Unsupported);
            refused.to_string()
        };
        assert!(refused(|settings| settings.length_max = 7, &[]).contains("length_max"));
        assert!(refused(|settings| settings.lifetime = Lifetime::Process, &[]).contains("lifetime"));
        assert!(refused(|settings| settings.overflow = Overflow::DropHead, &[]).contains("overflow"));
        assert!(refused(|_| (), &[("warmth", false), ("light", true)]).contains("light"));
        assert!(check(&settings(), all, &[("warmth", false)]).is_ok());
    }

    #[test]
    fn settings_that_differ_are_a_conflict_that_names_both_sides() {
        type Change = (&'static str, fn(&mut QueueSettings));
        let changes: [Change; 10] = [
            ("attempt_max", |settings| settings.retry.attempt_max += 1),
            ("backoff.first", |settings| settings.retry.backoff.first = Duration::ZERO),
            ("backoff.longest", |settings| settings.retry.backoff.longest = Duration::from_secs(10)),
            ("backoff.jitter", |settings| settings.retry.backoff.jitter = 0.3),
            ("hold", |settings| settings.hold = Duration::from_secs(1)),
            ("dead_letter", |settings| settings.dead_letter = None),
            ("order", |settings| settings.order = Order::Arrival),
            ("priority_max", |settings| settings.priority_max = 1),
            ("retain", |settings| settings.retain = Retain::For(Duration::from_secs(1))),
            ("dedup_window", |settings| settings.dedup_window = Duration::from_secs(1)),
        ];
        for (setting, change) in changes {
            let mut asked = settings();
            change(&mut asked);
            let conflict = compare(&settings(), &asked).unwrap_err();
            assert_eq!(conflict.kind(), Kind::Conflict);
            assert!(conflict.to_string().contains(&format!("{setting} is ")), "{conflict}");
        }
    }

    #[test]
    fn another_declaration_is_no_conflict() {
        let other = QueueSettings { declaration: "others".into(), ..settings() };
        assert!(compare(&settings(), &other).is_ok());
    }
}
