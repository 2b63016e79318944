//! The race between a load and an invalidation, parked at every step, with servers that forget and restart meanwhile. What
//! a source no longer says must not come back.

use std::time::Duration;

use forebay_core::ports::remote_store::{Asked, Filled, Grant};

use super::super::Rig;
use super::super::scene::{
    FILL, LONG, ask, ask_other, can, fill, filled, get, keys, lease, one_of_each, put, remove, remove_other,
    restart, run, settle, soon, try_get, try_remove,
};

/// One step of a reader that loads, or of the writer.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    /// The reader's next step: the lease, the load, the fill.
    Reader(usize),
    /// The writer's next step: the source, the invalidation.
    Writer,
    /// The node forgets what it has of the key.
    Evict,
}

/// All orders of the steps left.
fn orders(left: &mut Vec<(Step, usize)>, order: &mut Vec<Step>, each: &mut dyn FnMut(&[Step])) {
    if left.iter().all(|(_, count)| *count == 0) {
        each(order);
        return;
    }
    for index in 0..left.len() {
        if left[index].1 > 0 {
            left[index].1 -= 1;
            order.push(left[index].0);
            orders(left, order, each);
            order.pop();
            left[index].1 += 1;
        }
    }
}

/// A reader that loads.
#[derive(Clone, Copy)]
enum Reader {
    Begins,
    Granted(Grant),
    Loaded(Grant, &'static str),
    Ends,
}

/// What the writer does to tell the store.
type Invalidate = fn(&dyn Rig, &str);

fn play(rig: &mut dyn Rig, key: &str, order: &[Step], invalidate: Invalidate) {
    let mut source = "old";
    let mut written = 0;
    let mut readers = [Reader::Begins; 2];
    for step in order {
        match *step {
            Step::Evict => rig.evict(key.as_bytes()),
            Step::Writer => {
                if written == 0 {
                    source = "new";
                } else {
                    invalidate(rig, key);
                }
                written += 1;
            }
            Step::Reader(reader) => {
                readers[reader] = match readers[reader] {
                    Reader::Begins => match if reader == 0 { ask(rig, key) } else { ask_other(rig, key) } {
                        Asked::Granted(grant) => Reader::Granted(grant),
                        Asked::Hit(_) | Asked::Busy => Reader::Ends,
                    },
                    Reader::Granted(grant) => Reader::Loaded(grant, source),
                    // A store of its own fills: the other's grant was made for that one.
                    Reader::Loaded(grant, value) => {
                        let store = if reader == 0 { rig.store() } else { rig.other() };
                        let fill = store.fill(key.as_bytes(), value.as_bytes(), FILL, grant);
                        run(rig, fill).unwrap();
                        if reader > 0 {
                            rig.pass(rig.age_max());
                        }
                        Reader::Ends
                    }
                    Reader::Ends => Reader::Ends,
                };
            }
        }
    }
    let told: Vec<u8> = order
        .iter()
        .map(|step| match step {
            Step::Reader(reader) => b'0' + *reader as u8,
            Step::Writer => b'w',
            Step::Evict => b'e',
        })
        .collect();
    let read = get(rig, key);
    assert_ne!(
        read.as_deref(),
        Some(&b"old"[..]),
        "an older value came back: {}",
        String::from_utf8_lossy(&told)
    );
}

fn every_order(rig: &mut dyn Rig, name: &str, mut steps: Vec<(Step, usize)>, invalidate: Invalidate) {
    if !can(rig).fenced_fill {
        return;
    }
    let mut number = 0;
    orders(&mut steps, &mut Vec::new(), &mut |order| {
        number += 1;
        play(rig, &format!("{name}:{number}"), order, invalidate);
    });
    assert!(number >= 10, "there are more orders than that");
}

pub fn a_load_and_an_invalidation_in_every_order(rig: &mut dyn Rig) {
    let steps = || vec![(Step::Reader(0), 3), (Step::Writer, 2)];
    every_order(rig, "removed", steps(), |rig, key| _ = remove(rig, key));
    every_order(rig, "by-another", steps(), |rig, key| remove_other(rig, key));
    every_order(rig, "held", steps(), |rig, key| _ = try_remove(rig, key, None, LONG).unwrap());
    every_order(rig, "written", steps(), |rig, key| _ = put(rig, key, "new"));
    every_order(rig, "removed-twice", steps(), |rig, key| {
        remove(rig, key);
        remove_other(rig, key);
    });
}

pub fn two_loads_and_an_invalidation_in_every_order(rig: &mut dyn Rig) {
    let steps = vec![(Step::Reader(0), 3), (Step::Reader(1), 3), (Step::Writer, 2)];
    every_order(rig, "two", steps, |rig, key| _ = remove(rig, key));
}

pub fn a_load_an_invalidation_and_an_eviction_in_every_order(rig: &mut dyn Rig) {
    let steps = || vec![(Step::Reader(0), 3), (Step::Writer, 2), (Step::Evict, 1)];
    every_order(rig, "evict-removed", steps(), |rig, key| _ = remove(rig, key));
    every_order(rig, "evict-held", steps(), |rig, key| _ = try_remove(rig, key, None, LONG).unwrap());
    every_order(rig, "evict-written", steps(), |rig, key| _ = put(rig, key, "new"));
}

pub fn after_an_eviction_the_lease_goes_to_another_and_the_older_grant_is_void(rig: &mut dyn Rig) {
    if !can(rig).fenced_fill {
        return;
    }
    let first = lease(rig, "key");
    rig.evict(b"key");
    let second = lease(rig, "key");
    remove(rig, "key");
    let third = lease(rig, "key");
    assert_eq!(fill(rig, "key", "first", first), Filled::Refused);
    assert_eq!(fill(rig, "key", "second", second), Filled::Refused);
    filled(fill(rig, "key", "third", third));
}

/// Does something to every node between a lease and its fill, with an invalidation before or after it.
fn meanwhile(rig: &mut dyn Rig, name: &str, mut happen: impl FnMut(&mut dyn Rig, usize)) {
    if !can(rig).fenced_fill {
        return;
    }
    let nodes = rig.nodes();
    // The first ones are leased again in the same order: where a restart lets numbers begin anew they get the same ones.
    let (again, others) = (keys(&format!("{name}-again"), 12 * nodes), keys(name, 36 * nodes));
    let grants: Vec<Grant> = again.iter().chain(&others).map(|key| lease(rig, key)).collect();
    let (removed_before, rest) = others.split_at(12 * nodes);
    let (removed_after, written) = rest.split_at(12 * nodes);
    for key in removed_before {
        remove(rig, key);
    }
    for node in 0..nodes {
        happen(rig, node);
    }
    for key in &again {
        remove(rig, key);
        lease(rig, key);
    }
    for key in removed_after {
        remove(rig, key);
    }
    for key in written {
        put(rig, key, "new");
    }
    for (key, grant) in again.iter().chain(&others).zip(grants) {
        assert_eq!(fill(rig, key, "old", grant), Filled::Refused, "{key}");
        let expected = written.contains(key).then(|| b"new".to_vec());
        assert_eq!(get(rig, key), expected, "{key}");
    }
}

pub fn a_restart_between_lease_and_fill_brings_nothing_older_back(rig: &mut dyn Rig) {
    meanwhile(rig, "restart", |rig, node| restart(rig, node));
}

pub fn emptying_the_store_between_lease_and_fill_brings_nothing_older_back(rig: &mut dyn Rig) {
    meanwhile(rig, "empty", |rig, node| rig.empty(node));
}

pub fn a_pause_between_lease_and_fill_brings_nothing_older_back(rig: &mut dyn Rig) {
    meanwhile(rig, "pause", |rig, node| {
        let key = one_of_each(rig).swap_remove(node);
        rig.pause(node);
        assert!(try_get(rig, &key).is_err(), "the node stands still");
        rig.resume(node);
        settle(rig);
    });
}

pub fn an_invalidation_that_failed_and_was_repeated_counts(rig: &mut dyn Rig) {
    if !can(rig).fenced_fill {
        return;
    }
    for (node, key) in one_of_each(rig).into_iter().enumerate() {
        let grant = lease(rig, &key);
        rig.pause(node);
        assert!(try_remove(rig, &key, None, Duration::ZERO).is_err(), "the node stands still");
        rig.resume(node);
        soon(rig, || try_remove(rig, &key, None, Duration::ZERO));
        assert_eq!(fill(rig, &key, "old", grant), Filled::Refused);
        assert_eq!(get(rig, &key), None);
    }
}
