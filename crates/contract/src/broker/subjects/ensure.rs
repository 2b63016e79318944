//! Declaring queues.

use std::time::Duration;

use forebay_core::error::Kind;
use forebay_core::queue::{Overflow, QueueSettings};

use super::super::Rig;
use super::super::scene::{ensure, kind, name};

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
        assert!(asked(|settings| settings.overflow = Overflow::DropHead).contains("overflow"));
    }
}

pub fn settings_out_of_range_are_refused(rig: &mut dyn Rig) {
    let settings = QueueSettings { length_max: 0, ..QueueSettings::new(name("q")) };
    assert_eq!(kind(ensure(rig, &settings)), Kind::Invalid);
}
