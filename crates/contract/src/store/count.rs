//! Counters: decimal text that goes up and down.

use forebay_core::entry::{Arithmetic, Claim, Counted, State, Step, Version, Write};

use super::ask::{
    Make, ROOMY, arithmetic, at, down, get, get_to_load, mark_stale, number, set, set_until, stored, up,
    value,
};

/// The plain case.
pub fn numbers_go_up_and_down(make: Make<'_>) {
    let store = make(ROOMY);
    assert_eq!(up(&*store, b"key", 1, at(0)), Counted::NotFound);
    assert_eq!(down(&*store, b"key", 1, at(0)), Counted::NotFound);
    set(&*store, b"key", b"10", at(0));
    assert_eq!(number(up(&*store, b"key", 5, at(0))), 15);
    assert_eq!(number(down(&*store, b"key", 3, at(0))), 12);
    assert_eq!(number(up(&*store, b"key", 0, at(0))), 12);
    assert_eq!(value(&*store, b"key", at(0)).unwrap(), b"12");
}

/// As memcached has it.
pub fn up_wraps_and_down_stops_at_zero(make: Make<'_>) {
    let store = make(ROOMY);
    set(&*store, b"key", b"18446744073709551615", at(0));
    assert_eq!(number(up(&*store, b"key", 3, at(0))), 2);
    assert_eq!(number(down(&*store, b"key", u64::MAX, at(0))), 0);
    assert_eq!(number(down(&*store, b"key", 1, at(0))), 0);
    assert_eq!(number(up(&*store, b"key", u64::MAX, at(0))), u64::MAX);
}

/// As memcached has it: blanks stand where digits were.
pub fn a_shorter_number_keeps_the_length_of_the_text(make: Make<'_>) {
    let store = make(ROOMY);
    for (text, delta, expected) in
        [(&b"10"[..], 1, &b"9 "[..]), (b"1000", 999, b"1   "), (b"0005", 1, b"4   "), (b"7  ", 1, b"6  ")]
    {
        set(&*store, b"key", text, at(0));
        number(down(&*store, b"key", delta, at(0)));
        assert_eq!(value(&*store, b"key", at(0)).unwrap(), expected);
    }
    assert_eq!(number(up(&*store, b"key", 4, at(0))), 10);
    assert_eq!(value(&*store, b"key", at(0)).unwrap(), b"10 ");
}

/// 9 and 1 are 10.
pub fn a_longer_number_makes_the_text_longer(make: Make<'_>) {
    let store = make(ROOMY);
    set(&*store, b"key", b"9", at(0));
    for power in 1..20 {
        let present = number(up(&*store, b"key", 1, at(0)));
        assert_eq!(present, 10u64.pow(power));
        assert_eq!(value(&*store, b"key", at(0)).unwrap(), present.to_string().as_bytes());
        if power < 19 {
            number(up(&*store, b"key", 9 * present - 1, at(0)));
        }
    }
}

/// And keeps its version.
pub fn what_is_no_number_is_refused_and_stays(make: Make<'_>) {
    let store = make(ROOMY);
    for text in [&b""[..], b"x", b"1x", b"-1", b"1.5", b"18446744073709551616", b"99999999999999999999999"] {
        let version = set(&*store, b"key", text, at(0));
        assert_eq!(up(&*store, b"key", 1, at(0)), Counted::NotNumber);
        let seen = get(&*store, b"key", at(0)).unwrap();
        assert_eq!((seen.value.as_slice(), seen.version), (text, version));
    }
}

/// It starts with the number itself, not with the first step.
pub fn a_counter_can_be_created(make: Make<'_>) {
    let store = make(ROOMY);
    let create = Arithmetic { create: Some((100, Some(at(50)))), ..arithmetic(at(0), Step::Up, 7) };
    let counted = store.count(b"key", create);
    let seen = get(&*store, b"key", at(0)).unwrap();
    let expires_at = Some(at(50));
    assert_eq!(counted, Counted::Value { number: 100, version: seen.version, expires_at, created: true });
    assert_eq!((seen.value.as_slice(), seen.expires_at), (&b"100"[..], expires_at));
    let Counted::Value { number, created, expires_at, .. } =
        store.count(b"key", Arithmetic { now: at(1), ..create })
    else {
        panic!("there is a counter")
    };
    assert_eq!((number, created, expires_at), (107, false, Some(at(50))));
}

/// Counting is not setting.
pub fn a_counter_keeps_flags_and_end_unless_touched(make: Make<'_>) {
    let store = make(ROOMY);
    stored(store.write(b"key", b"9", Write { flags: 7, expires_at: Some(at(100)), ..Write::at(at(0)) }));
    for _ in 0..2 {
        number(up(&*store, b"key", 1, at(1)));
        let seen = get(&*store, b"key", at(1)).unwrap();
        assert_eq!((seen.flags, seen.expires_at), (7, Some(at(100))));
    }
    for end in [Some(at(200)), None] {
        store.count(b"key", Arithmetic { touch: Some(end), ..arithmetic(at(1), Step::Up, 100) });
        assert_eq!(get(&*store, b"key", at(1)).unwrap().expires_at, end);
    }
}

/// Only over what the caller has seen.
pub fn a_counter_obeys_the_version(make: Make<'_>) {
    let store = make(ROOMY);
    let version = set_until(&*store, b"key", b"1", at(0), at(100));
    let count = |version| {
        store.count(b"key", Arithmetic { version: Some(version), ..arithmetic(at(0), Step::Up, 1) })
    };
    assert_eq!(count(Version(version.0 + 1)), Counted::Exists);
    let Counted::Value { number: 2, version: newer, .. } = count(version) else {
        panic!("the version is right")
    };
    assert!(newer > version);
    assert_eq!(count(version), Counted::Exists);
    assert_eq!(number(count(newer)), 3);
}

/// Counting does not make an invalidated number true.
pub fn a_stale_number_stays_stale(make: Make<'_>) {
    let store = make(ROOMY);
    set(&*store, b"key", b"9", at(0));
    mark_stale(&*store, b"key", at(0));
    number(up(&*store, b"key", 1, at(0)));
    let seen = get_to_load(&*store, b"key", at(0)).unwrap();
    assert_eq!((seen.state, seen.claim), (State::Stale, Claim::Won));
}
