//! Declaring queues.

use std::time::Duration;

use forebay_core::error::Kind;
use forebay_core::queue::{DeadLetterExchange, Order, Overflow, QueueSettings, Retain};

use super::super::Rig;
use super::super::scene::{ensure, kind, name};

/// In the range of every setting that is a time.
const SHORT: Duration = Duration::from_secs(5);

pub fn a_queue_may_be_declared_again_with_equal_settings(rig: &mut dyn Rig) {
    let mut settings = QueueSettings::new(name("q"));
    settings.retry.backoff.first = Duration::from_micros(1_500);
    settings.dead_letter = Some(name("d"));
    for _ in 0..3 {
        ensure(rig, &settings).unwrap();
    }
}

pub fn a_queue_that_differs_is_a_conflict_that_names_the_setting_and_both_sides(rig: &mut dyn Rig) {
    let present = QueueSettings::new(name("q"));
    ensure(rig, &present).unwrap();
    let asked = |change: fn(&mut QueueSettings)| {
        let mut asked = present.clone();
        change(&mut asked);
        let error = ensure(rig, &asked).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        error.to_string()
    };
    let told = asked(|settings| settings.retry.attempt_max = 977);
    assert!(told.contains("attempt_max") && told.contains("977") && told.contains('5'), "{told}");
    assert!(asked(|settings| settings.retry.backoff.jitter = 0.1).contains("jitter"));
    assert!(asked(|settings| settings.retry.backoff.first = Duration::ZERO).contains("first"));
    assert!(asked(|settings| settings.retry.backoff.longest = Duration::from_secs(9)).contains("longest"));
    assert!(asked(|settings| settings.hold = Duration::from_secs(9)).contains("hold"));
    assert!(asked(|settings| settings.dead_letter = Some(name("d"))).contains("dead_letter"));
    if rig.broker().capabilities().length_max {
        let told = asked(|settings| settings.length_max = 77);
        assert!(told.contains("length_max") && told.contains("77") && told.contains("10000000"), "{told}");
    }
    if rig.broker().capabilities().drop_head {
        assert!(asked(|settings| settings.overflow = Overflow::DropHead).contains("overflow"));
    }
}

pub fn settings_out_of_range_are_refused(rig: &mut dyn Rig) {
    let settings = QueueSettings { length_max: 0, ..QueueSettings::new(name("q")) };
    assert_eq!(kind(ensure(rig, &settings)), Kind::Invalid);
}

pub fn a_setting_that_the_broker_does_not_keep_is_refused_by_its_name(rig: &mut dyn Rig) {
    let can = rig.broker().capabilities();
    let asked = |can: bool, setting: &str, change: fn(&mut QueueSettings)| {
        let mut settings = QueueSettings::new(name(setting));
        change(&mut settings);
        match ensure(rig, &settings) {
            Ok(()) => assert!(can, "{setting} is not declared, and must not be taken"),
            Err(error) => {
                assert!(!can && error.kind() == Kind::Unsupported, "{error}");
                assert!(error.to_string().contains(&format!(": {setting}")), "{error}");
            }
        }
    };
    asked(can.order_by_key, "order", |settings| settings.order = Order::Key);
    asked(can.priorities, "priority_max", |settings| settings.priority_max = 9);
    asked(can.retain, "retain", |settings| settings.retain = Retain::For(SHORT));
    asked(can.newest_by_key, "newest_by_key", |settings| settings.newest_by_key = true);
    asked(can.message_ttl, "message_ttl", |settings| settings.message_ttl = Some(SHORT));
    asked(can.length_bytes_max, "length_bytes_max", |settings| settings.length_bytes_max = Some(9));
    asked(can.drop_head, "overflow", |settings| settings.overflow = Overflow::DropHead);
    asked(can.dead_letter_exchange, "dead_letter_exchange", |settings| {
        settings.dead_letter_exchange = Some(DeadLetterExchange { exchange: String::new(), key: None });
    });
}
