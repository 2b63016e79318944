//! A node that is away costs its own keys, and nobody waits longer for it than was said.

use std::time::Duration;

use forebay_core::error::Kind;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::remote_store::{Asked, Filled};

use super::super::Rig;
use super::super::scene::{
    LONG, SET, add, ask, can, fill, filled, get, get_all, in_time, keys, kind, lease, one_of_each, put,
    restart, run, settle, together, try_add, try_ask, try_get, try_put, try_remove, try_touch, up,
};

/// What every verb says of a key whose node is away.
fn all_fail(rig: &dyn Rig, key: &str) {
    let zero = Duration::ZERO;
    let mut kinds = vec![
        in_time(rig, || kind(try_get(rig, key))),
        in_time(rig, || kind(try_put(rig, key, b"value", SET))),
        in_time(rig, || kind(try_remove(rig, key, None, zero))),
        in_time(rig, || kind(try_remove(rig, key, None, LONG))),
    ];
    if can(rig).lease {
        kinds.push(in_time(rig, || kind(try_ask(rig, &*rig.store(), key, LONG))));
    }
    if can(rig).arithmetic {
        kinds.push(in_time(rig, || kind(try_add(rig, key, up(1)))));
    }
    if can(rig).touch {
        kinds.push(in_time(rig, || kind(try_touch(rig, key, None))));
    }
    assert!(kinds.iter().all(|kind| *kind == Kind::Unavailable), "{kinds:?}");
}

fn costs_its_keys_only(rig: &mut dyn Rig, leave: fn(&mut dyn Rig, usize), back: fn(&mut dyn Rig, usize)) {
    let Some(gone) = rig.nodes().checked_sub(1) else { return };
    let all = keys("spread", 60);
    for key in &all {
        put(rig, key, key);
    }
    leave(rig, gone);
    for _ in 0..3 {
        let answers = in_time(rig, || get_all(rig, &all));
        for (key, answer) in all.iter().zip(answers) {
            match answer {
                Ok(shared) => {
                    assert_ne!(rig.node_of(key.as_bytes()), gone, "{key} cannot be read");
                    assert_eq!(&*shared.expect("its node is there").value, key.as_bytes());
                }
                Err(error) => {
                    assert_eq!(rig.node_of(key.as_bytes()), gone, "{key} is on another node: {error}");
                    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
                }
            }
        }
    }
    let other = one_of_each(rig);
    all_fail(rig, &other[gone]);
    for key in other.iter().take(gone) {
        put(rig, key, "value");
        assert_eq!(get(rig, key).as_deref(), Some(&b"value"[..]));
    }
    back(rig, gone);
    settle(rig);
    put(rig, &other[gone], "value");
    assert_eq!(get(rig, &other[gone]).as_deref(), Some(&b"value"[..]));
}

pub fn a_node_that_is_down_costs_its_own_keys_and_is_used_again_when_it_is_back(rig: &mut dyn Rig) {
    costs_its_keys_only(rig, |rig, node| rig.stop(node), |rig, node| rig.start(node));
}

pub fn a_node_that_stands_still_costs_its_own_keys_and_is_used_again_when_it_is_back(rig: &mut dyn Rig) {
    costs_its_keys_only(rig, |rig, node| rig.pause(node), |rig, node| rig.resume(node));
}

pub fn after_a_restart_everything_works(rig: &mut dyn Rig) {
    for node in 0..rig.nodes() {
        restart(rig, node);
    }
    for key in one_of_each(rig) {
        // What the store kept over the restart is not asked for.
        run(rig, rig.store().remove(key.as_bytes(), None, Duration::ZERO)).unwrap();
        if can(rig).lease {
            let grant = lease(rig, &key);
            assert_eq!(ask(rig, &key), Asked::Busy);
            filled(fill(rig, &key, "1", grant));
            assert_eq!(fill(rig, &key, "1", grant), Filled::Refused);
        } else {
            put(rig, &key, "1");
        }
        if can(rig).arithmetic {
            add(rig, &key, up(1));
        }
    }
}

pub fn many_calls_to_a_node_that_stands_still_all_end_in_time(rig: &mut dyn Rig) {
    let Some(key) = one_of_each(rig).into_iter().next() else { return };
    rig.pause(0);
    let store = rig.store();
    let calls = (0..500).map(|number| {
        let (store, key) = (&store, key.as_bytes());
        let call: BoxFuture<'_, bool> = if number % 2 == 0 {
            Box::pin(async move { store.get(&[key]).await.into_iter().all(|answer| answer.is_err()) })
        } else {
            Box::pin(async move { store.put(key, b"value", SET).await.is_err() })
        };
        call
    });
    let failed = in_time(rig, || together(rig, calls.collect()));
    assert!(failed.into_iter().all(|failed| failed), "nothing was answered");
    rig.resume(0);
    settle(rig);
}

pub fn a_closed_store_says_so(rig: &mut dyn Rig) {
    let Some(key) = one_of_each(rig).into_iter().next() else { return };
    put(rig, &key, "value");
    rig.close();
    assert_eq!(in_time(rig, || kind(try_get(rig, &key))), Kind::Closed);
    assert_eq!(in_time(rig, || kind(try_put(rig, &key, b"value", SET))), Kind::Closed);
    assert_eq!(in_time(rig, || kind(try_remove(rig, &key, None, LONG))), Kind::Closed);
    let other = rig.other();
    assert!(run(rig, other.get(&[key.as_bytes()])).swap_remove(0).unwrap().is_some(), "the other is open");
}
