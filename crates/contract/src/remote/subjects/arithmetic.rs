//! Counters are exact, whoever counts.

use forebay_core::entry::Step;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::remote_store::{Addition, Filled, Put, Sum};

use super::super::Rig;
use super::super::scene::{
    LONG, OVER, SET, add, can, fill, get, lease, offered, put, put_with, remove, seconds, together, try_add,
    try_remove, up,
};

fn can_count(rig: &dyn Rig) -> bool {
    offered(can(rig).arithmetic, || try_add(rig, "key", up(1)))
}

const fn down(delta: u64) -> Addition {
    Addition { delta, step: Step::Down, create: None }
}

const fn from(number: u64) -> Addition {
    Addition { delta: 1, step: Step::Up, create: Some((number, None)) }
}

/// The counter as text. Some stores keep the blanks of a number that was longer before.
fn text(rig: &dyn Rig, key: &str) -> String {
    String::from_utf8(get(rig, key).unwrap()).unwrap().trim_end().to_owned()
}

pub fn a_counter_goes_up_and_down(rig: &mut dyn Rig) {
    if can_count(rig) {
        put(rig, "key", "98");
        assert_eq!(add(rig, "key", up(4)), Sum::Number(102));
        assert_eq!(text(rig, "key"), "102");
        assert_eq!(add(rig, "key", down(93)), Sum::Number(9));
        assert_eq!(text(rig, "key"), "9");
        assert_eq!(add(rig, "key", up(0)), Sum::Number(9));
    }
}

pub fn up_it_wraps_and_down_it_stops_at_0(rig: &mut dyn Rig) {
    if can_count(rig) {
        put(rig, "key", "18446744073709551614");
        assert_eq!(add(rig, "key", up(1)), Sum::Number(u64::MAX));
        assert_eq!(add(rig, "key", up(3)), Sum::Number(2));
        assert_eq!(add(rig, "key", down(3)), Sum::Number(0));
        assert_eq!(add(rig, "key", up(u64::MAX)), Sum::Number(u64::MAX));
        assert_eq!(add(rig, "key", down(u64::MAX)), Sum::Number(0));
    }
}

pub fn a_counter_that_is_not_there_is_begun_only_where_that_was_asked_for(rig: &mut dyn Rig) {
    if can_count(rig) {
        assert_eq!(add(rig, "key", up(1)), Sum::NotFound);
        assert_eq!(get(rig, "key"), None);
        assert_eq!(add(rig, "key", from(41)), Sum::Number(41));
        assert_eq!(add(rig, "key", from(7)), Sum::Number(42));
        assert_eq!(add(rig, "largest", from(u64::MAX)), Sum::Number(u64::MAX));
    }
}

pub fn what_is_no_number_is_not_counted(rig: &mut dyn Rig) {
    if can_count(rig) {
        for value in ["", "one", "-1", "18446744073709551616", "1.5"] {
            put(rig, "key", value);
            assert_eq!(add(rig, "key", up(1)), Sum::NotNumber, "{value:?}");
            assert_eq!(add(rig, "key", from(1)), Sum::NotNumber, "{value:?}");
            assert_eq!(get(rig, "key").as_deref(), Some(value.as_bytes()));
        }
    }
}

pub fn a_placeholder_is_no_counter(rig: &mut dyn Rig) {
    if can_count(rig) && can(rig).lease {
        lease(rig, "leased");
        assert_eq!(add(rig, "leased", up(1)), Sum::NotFound);
        assert_eq!(get(rig, "leased"), None);
        let grant = lease(rig, "begun");
        assert_eq!(add(rig, "begun", from(5)), Sum::Number(5));
        assert_eq!(fill(rig, "begun", "older", grant), Filled::Refused);
        assert_eq!(text(rig, "begun"), "5");
        try_remove(rig, "held", None, LONG).unwrap();
        assert_eq!(add(rig, "held", up(1)), Sum::NotFound);
        assert_eq!(add(rig, "held", from(5)), Sum::Number(5));
    }
}

pub fn everybodys_additions_count(rig: &mut dyn Rig) {
    if !can_count(rig) {
        return;
    }
    let (store, other) = (rig.store(), rig.other());
    let additions = (0..200).map(|number| {
        let store = if number % 2 == 0 { &store } else { &other };
        let added: BoxFuture<'_, _> = store.add(b"key", from(1));
        added
    });
    let mut sums: Vec<Sum> = together(rig, additions.collect()).into_iter().map(Result::unwrap).collect();
    sums.sort_unstable_by_key(|sum| match sum {
        Sum::Number(number) => *number,
        Sum::NotFound | Sum::NotNumber => panic!("{sum:?} where it is begun"),
    });
    assert!(sums.into_iter().eq((1..=200).map(Sum::Number)), "each saw its own number");
}

pub fn counting_leaves_the_life_alone(rig: &mut dyn Rig) {
    if can_count(rig) {
        let life = Addition { create: Some((1, seconds(2))), ..up(1) };
        add(rig, "begun", life);
        put_with(rig, "put", "1", Put { life: seconds(2), ..SET });
        for key in ["begun", "put"] {
            add(rig, key, Addition { create: Some((1, seconds(100))), ..up(1) });
            assert_eq!(text(rig, key), "2");
        }
        rig.pass(OVER);
        assert_eq!((get(rig, "begun"), get(rig, "put")), (None, None));
    }
}

pub fn a_removed_counter_begins_anew(rig: &mut dyn Rig) {
    if can_count(rig) {
        add(rig, "key", from(10));
        remove(rig, "key");
        assert_eq!(add(rig, "key", from(1)), Sum::Number(1));
    }
}
