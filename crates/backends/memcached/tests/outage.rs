//! One of three memcacheds, or the wire to it, suffers while many read, load and invalidate: nobody waits longer than the
//! time-out, keys of the other two are untouched, and nothing that was invalidated is served, also not what was invalidated
//! while its node was away.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod rig;

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::Poll;
use std::time::{Duration, Instant};

use forebay_contract::outage::faults::Fault;
use forebay_contract::outage::store::Stores;
use forebay_contract::outage::{Bounds, Outage};
use forebay_contract::remote::Rig;
use forebay_contract::servers::memcached::Memcached;
use forebay_contract::servers::wire::Wire;
use forebay_contract::torture;
use forebay_core::entry::Mode;
use forebay_core::error::Kind;
use forebay_core::ports::remote_store::{Put, RemoteStore};
use rig::{Real, TIME_OUT, open};
use tokio::sync::watch;
use tokio::time::timeout;

const KEYS: usize = 120;
/// The time-out under load: no busy machine makes a server that is well miss it.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// What a call may take beyond its time-out on a busy machine.
const LATE: Duration = Duration::from_millis(400);
/// What is stated of calls under load.
const BOUNDS: Bounds =
    Bounds { wait: PATIENCE, slack: LATE, consumers: 3, well: 60, pace: Duration::from_millis(2) };
const SYSTEM: &str = "Memcached, one node of three";
/// The one.
const HURT: usize = 1;

fn lasting(ms: u64) {
    std::thread::sleep(Duration::from_millis(torture::rounds(ms)));
}

/// Waits for that, for as long as a node that is there again may go unused.
fn within_recovery(rig: &Real, used: impl Future<Output = ()>) {
    let waited = rig.runtime.block_on(async { timeout(rig.recovery(), used).await });
    waited.expect("the node is there and not used");
}

/// Three nodes, each over a wire of its own, and a load on all of them.
fn loaded() -> (Real, Vec<Wire>, Outage) {
    let mut wires = Vec::new();
    let rig = Real::over(3, PATIENCE, "", |server| {
        let wire = Wire::to(server.address);
        let address = wire.address;
        wires.push(wire);
        address
    });
    let names = (0..KEYS).map(|number| format!("load:{number}"));
    let (keys, elsewhere) = names.partition(|name| rig.node_of(name.as_bytes()) == HURT);
    let stores =
        Stores { all: [rig.store(), rig.other()], keys, elsewhere, makes_up: true, deaf_max: rig.recovery() };
    let load = Outage::begin_on_stores(rig.runtime.handle(), &stores, BOUNDS);
    (rig, wires, load)
}

fn survives(fault: &Fault<Memcached>) {
    let (rig, wires, mut load) = loaded();
    load.suffers(fault, SYSTEM, &rig.servers[HURT], &wires[HURT]);
}

forebay_contract::outage! { survives:
    a_restart_loses_nothing_and_leaves_nobody_deaf
    a_kill_loses_nothing_and_leaves_nobody_deaf
    a_server_that_stands_still_loses_nothing_and_leaves_nobody_deaf
    a_wire_that_is_cut_again_and_again_loses_nothing_and_leaves_nobody_deaf
    answers_that_are_lost_cost_no_message_and_leave_nobody_deaf
    a_wire_that_carries_nothing_loses_nothing_and_leaves_nobody_deaf
}

/// The node leaves, and comes back after a while.
fn through(fault: &str, leave: fn(&Memcached), back: fn(&Memcached)) {
    let (rig, _wires, mut load) = loaded();
    leave(&rig.servers[HURT]);
    load.until_refused();
    load.lasts(Duration::from_millis(torture::rounds(2_000)));
    back(&rig.servers[HURT]);
    load.goes_on("afterwards");
    load.end(SYSTEM, fault);
}

#[test]
fn a_node_that_is_killed_and_started_again_costs_its_own_keys_and_serves_nothing_older() {
    through("SIGKILL, started again after 2 s", Memcached::kill, Memcached::start_again);
}

#[test]
fn a_node_that_stands_still_costs_its_own_keys_and_serves_nothing_older() {
    through("SIGSTOP for 2 s", Memcached::pause, Memcached::resume);
}

#[test]
fn what_was_to_be_invalidated_while_a_node_stood_still_is_not_served_when_it_goes_on() {
    let mut rig = Real::new(3, "");
    let names: Vec<String> = (0..300).map(|number| format!("held:{number}")).collect();
    let names: Vec<String> = names.into_iter().filter(|name| rig.node_of(name.as_bytes()) == 1).collect();
    let put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
    rig.runtime.block_on(async {
        for name in &names {
            rig.store.put(name.as_bytes(), b"older", put).await.expect("it is there");
        }
    });
    rig.pause(1);
    let left = names.len() / 2;
    rig.runtime.block_on(async {
        for name in &names[left..] {
            let removed = rig.store.remove(name.as_bytes(), None, Duration::ZERO).await;
            assert_eq!(removed.map_err(|error| error.kind()), Err(Kind::Unavailable));
        }
    });
    rig.resume(1);
    let begun = Instant::now();
    let keys: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    let read = loop {
        let read: Result<Vec<_>, _> = rig.runtime.block_on(rig.store.get(&keys)).into_iter().collect();
        match read {
            Ok(read) => break read,
            Err(error) => assert!(begun.elapsed() < rig.recovery(), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(read[left..].iter().all(Option::is_none), "an invalidated entry was served");
    assert!(read[..left].iter().all(Option::is_some), "what nobody invalidated is still there");
}

#[test]
fn a_node_comes_back_while_many_writes_fail_at_once() {
    let mut rig = Real::new(1, "");
    rig.stop(0);
    let done = watch::Sender::new(0);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = |number: usize| {
        let (store, done, stop) = (rig.store.clone(), done.clone(), stop.clone());
        rig.runtime.spawn(async move {
            let key = format!("fails:{number}");
            while !stop.load(SeqCst) {
                if store.remove(key.as_bytes(), None, Duration::ZERO).await.is_ok() {
                    done.send_modify(|count| *count += 1);
                }
                // Nothing is waited for while the node is known to be away.
                tokio::task::yield_now().await;
            }
        })
    };
    let writers: Vec<_> = (0..16).map(writer).collect();
    lasting(500);
    let mut seen = done.subscribe();
    assert_eq!(*seen.borrow(), 0, "the node is away");
    rig.start(0);
    within_recovery(&rig, async {
        let seen = seen.wait_for(|count| *count >= 1_000).await;
        assert!(seen.is_ok(), "writers count");
    });
    stop.store(true, SeqCst);
    for writer in writers {
        rig.runtime.block_on(writer).expect("it ends");
    }
}

#[test]
fn a_call_that_is_given_up_disturbs_no_other() {
    let rig = Real::new(1, "&connections=1");
    let put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
    rig.runtime.block_on(async {
        let names: HashMap<String, String> =
            (0..50).map(|number| (format!("k:{number}"), "v".repeat(number * 997))).collect();
        for (name, value) in &names {
            rig.store.put(name.as_bytes(), value.as_bytes(), put).await.expect("it is there");
        }
        for round in 0..2_000 {
            let name = format!("k:{}", round % 50);
            let key = name.as_bytes();
            let keys = [key];
            let asked = rig.store.get(&keys);
            if round % 3 == 0 {
                // It is dropped wherever it has come to by then.
                let _ = tokio::time::timeout(Duration::from_micros(round * 7 % 400), asked).await;
            } else {
                let read = asked.await.remove(0).expect("it answers").expect("it is there");
                assert_eq!(read.value.len(), names[&name].len());
            }
        }
    });
}

#[test]
fn a_write_that_was_given_up_does_not_overtake_a_later_one() {
    let rig = Real::new(1, "&connections=4");
    let put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
    // It takes a while to be sent.
    let large = vec![b'x'; 3_000_000];
    rig.runtime.block_on(async {
        for round in 0..150u64 {
            let key = format!("key:{}", round % 3);
            let mut given_up = rig.store.put(key.as_bytes(), &large, put);
            let polled = poll_fn(|context| Poll::Ready(given_up.as_mut().poll(context))).await;
            if polled.is_ready() {
                continue;
            }
            std::thread::sleep(Duration::from_micros(round * 13 % 900));
            drop(given_up);
            rig.store.put(key.as_bytes(), b"later", put).await.expect("it is there");
            tokio::time::sleep(Duration::from_millis(4)).await;
            let read =
                rig.store.get(&[key.as_bytes()]).await.remove(0).expect("it answers").expect("it is there");
            assert!(*read.value == *b"later", "the earlier one came after it in round {round}");
        }
    });
}

#[test]
fn what_a_write_that_was_given_up_would_have_replaced_is_not_served() {
    let rig = Real::new(1, "");
    let put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
    rig.runtime.block_on(async {
        for _ in 0..50 {
            rig.store.put(b"key", b"older", put).await.expect("it is there");
            let mut given_up = rig.store.put(b"key", b"newer", put);
            let polled = poll_fn(|context| Poll::Ready(given_up.as_mut().poll(context))).await;
            drop(given_up);
            let read = rig.store.get(&[b"key"]).await.remove(0).expect("it answers");
            let is_older = read.is_some_and(|shared| *shared.value == *b"older");
            assert!(polled.is_ready() || !is_older, "it is not known whether it has happened");
        }
    });
}

#[test]
fn a_close_ends_the_calls_that_wait() {
    let rig = Real::new(1, "");
    let put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
    rig.runtime.block_on(rig.store.put(b"key", b"value", put)).expect("it is there");
    rig.servers[0].pause();
    let store = open(&rig.runtime, &format!("memcached://{}?timeout=30s", rig.servers[0].address));
    let begun = Instant::now();
    rig.runtime.block_on(async {
        // One waits for the first connection, the other for its answer.
        let mut waiting = [store.get(&[b"key"]), rig.store.get(&[b"key"])];
        for wait in &mut waiting {
            let polled = poll_fn(|context| Poll::Ready(wait.as_mut().poll(context))).await;
            assert!(polled.is_pending(), "the server answers though it was stopped");
        }
        store.close();
        rig.store.close();
        for wait in waiting {
            let read = wait.await.remove(0);
            assert_eq!(read.map_err(|error| error.kind()), Err(Kind::Closed));
        }
    });
    assert!(begun.elapsed() < TIME_OUT, "they waited on");
}
