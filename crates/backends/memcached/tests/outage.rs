//! One of three memcacheds is killed, stands still and is restarted while many read, load and invalidate: nobody waits longer
//! than the time-out, keys of the other two are untouched, and nothing that was invalidated is served, also not what was
//! invalidated while its node was away.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod rig;

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::task::Poll;
use std::time::{Duration, Instant};

use forebay_contract::remote::Rig;
use forebay_contract::torture;
use forebay_core::entry::Mode;
use forebay_core::error::Kind;
use forebay_core::ports::remote_store::{Asked, Changed, Fill, Put, RemoteStore};
use forebay_memcached_store::store::MemcachedStore;
use rig::{Real, TIME_OUT, open};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

const KEYS: usize = 120;
const READERS: usize = 12;
const WRITERS: usize = 4;
/// What a call may take beyond its time-out on a busy machine.
const LATE: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_secs(60);

/// A key, and what is known of it outside the store.
#[derive(Default)]
struct Key {
    name: String,
    node: usize,
    /// What the source says.
    source: AtomicU64,
    /// Nothing older may be read by the store that invalidates: it was told so, or that it could not be done yet.
    floor: AtomicU64,
    /// Nothing older may be read by anybody: the invalidation was confirmed.
    confirmed: AtomicU64,
}

#[derive(Default)]
struct Seen {
    hits: [AtomicU64; 3],
    failed: [AtomicU64; 3],
    /// There was one more hit.
    hit: Notify,
    slowest_ms: AtomicU64,
}

struct Load {
    keys: Vec<Key>,
    seen: Seen,
    stop: AtomicBool,
}

impl Load {
    fn new(rig: &Real) -> Arc<Self> {
        let key = |number| {
            let name = format!("load:{number}");
            Key { node: rig.node_of(name.as_bytes()), name, ..Key::default() }
        };
        Arc::new(Self {
            keys: (0..KEYS).map(key).collect(),
            seen: Seen::default(),
            stop: AtomicBool::new(false),
        })
    }

    /// Takes the time of a call, and notes whether it failed.
    async fn timed<T>(
        &self,
        key: &Key,
        call: impl Future<Output = forebay_core::error::Result<T>>,
    ) -> Option<T> {
        let begun = Instant::now();
        let result = call.await;
        let took = begun.elapsed();
        self.seen.slowest_ms.fetch_max(took.as_millis() as u64, SeqCst);
        assert!(took <= TIME_OUT + LATE, "a call took {took:?}");
        result
            .map_err(|error| {
                assert_eq!(error.kind(), Kind::Unavailable, "{error}");
                self.seen.failed[key.node].fetch_add(1, SeqCst);
            })
            .ok()
    }

    async fn read(self: Arc<Self>, store: MemcachedStore, invalidates: bool, seed: usize) {
        for turn in seed.. {
            if self.stop.load(SeqCst) {
                return;
            }
            let key = &self.keys[turn * 7 % KEYS];
            let floor = if invalidates { &key.floor } else { &key.confirmed }.load(SeqCst);
            match self.timed(key, store.get_or_lease(key.name.as_bytes(), LONG)).await {
                Some(Asked::Hit(shared)) => {
                    let text = std::str::from_utf8(&shared.value).expect("what was filled");
                    let read: u64 = text.parse().expect("what was filled");
                    assert!(read >= floor, "{}: {read} was read, {floor} was to be the oldest", key.name);
                    self.seen.hits[key.node].fetch_add(1, SeqCst);
                    self.seen.hit.notify_one();
                }
                Some(Asked::Granted(grant)) => {
                    let loaded = key.source.load(SeqCst).to_string();
                    tokio::time::sleep(Duration::from_millis(turn as u64 % 3)).await;
                    let fill = Fill { flags: 0, life: None, tags: &[] };
                    let filled = store.fill(key.name.as_bytes(), loaded.as_bytes(), fill, grant);
                    self.timed(key, filled).await;
                }
                Some(Asked::Busy) | None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }

    async fn write(self: Arc<Self>, store: MemcachedStore, seed: usize) {
        for turn in 0.. {
            if self.stop.load(SeqCst) {
                return;
            }
            // Each writer has keys of its own, so that what it says is in order.
            let key = &self.keys[(turn * WRITERS + seed) % KEYS];
            let next = key.source.fetch_add(1, SeqCst) + 1;
            let done = if turn % 5 == 0 {
                let put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
                self.timed(key, store.put(key.name.as_bytes(), next.to_string().as_bytes(), put)).await
            } else {
                self.timed(key, store.remove(key.name.as_bytes(), None, Duration::ZERO)).await
            };
            key.floor.store(next, SeqCst);
            if let Some(Changed::Done(_) | Changed::NotFound) = done {
                key.confirmed.store(next, SeqCst);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn totals(&self) -> ([u64; 3], [u64; 3]) {
        let all = |counts: &[AtomicU64; 3]| [0, 1, 2].map(|node| counts[node].load(SeqCst));
        (all(&self.seen.hits), all(&self.seen.failed))
    }
}

fn lasting(ms: u64) {
    std::thread::sleep(Duration::from_millis(torture::rounds(ms)));
}

/// Waits for that, for as long as a node that is there again may go unused.
fn within_recovery(rig: &Real, used: impl Future<Output = ()>) {
    let waited = rig.runtime.block_on(async { timeout(rig.recovery(), used).await });
    waited.expect("the node is there and not used");
}

/// Runs the load; meanwhile one node leaves and comes back.
#[expect(clippy::print_stdout, reason = "the row is for who reads the tests' output")]
fn through(fault: &str, leave: fn(&mut Real, usize), back: fn(&mut Real, usize)) {
    let mut rig = Real::new(3, "");
    let load = Load::new(&rig);
    let mut tasks = Vec::new();
    for seed in 0..READERS {
        let (store, invalidates) = if seed % 3 == 0 { (&rig.other, false) } else { (&rig.store, true) };
        tasks.push(rig.runtime.spawn(load.clone().read(store.clone(), invalidates, seed)));
    }
    for seed in 0..WRITERS {
        tasks.push(rig.runtime.spawn(load.clone().write(rig.store.clone(), seed)));
    }
    lasting(500);
    let (hits, failed) = load.totals();
    assert!(
        hits.iter().all(|hits| *hits > 0) && failed == [0; 3],
        "{hits:?} {failed:?} before anything happened"
    );
    let gone = 1;
    leave(&mut rig, gone);
    lasting(2_000);
    let (away, _) = load.totals();
    back(&mut rig, gone);
    let begun = Instant::now();
    let used_again = async {
        while load.totals().0[gone] < away[gone] + 10 {
            load.seen.hit.notified().await;
        }
    };
    within_recovery(&rig, used_again);
    let returned = begun.elapsed().as_secs_f64();
    lasting(700);
    load.stop.store(true, SeqCst);
    for task in tasks {
        rig.runtime.block_on(task).expect("nothing wrong was seen");
    }
    let (hits, failed) = load.totals();
    for node in [0, 2] {
        assert_eq!(failed[node], 0, "a key of another node could not be reached");
        assert!(hits[node] > away[node], "the others went on");
    }
    assert!(failed[gone] > 0, "the node was away");
    let slowest = load.seen.slowest_ms.load(SeqCst);
    println!(
        "| Memcached, one node of three | {fault} | {} | {} | 0 | {returned:.1} s | {slowest} ms |",
        hits.iter().sum::<u64>(),
        failed[gone]
    );
}

#[test]
fn a_node_that_is_killed_and_started_again_costs_its_own_keys_and_serves_nothing_older() {
    through(
        "SIGKILL, started again after 2 s",
        |rig, node| rig.servers[node].kill(),
        |rig, node| rig.servers[node].start_again(),
    );
}

#[test]
fn a_node_that_stands_still_costs_its_own_keys_and_serves_nothing_older() {
    through("SIGSTOP for 2 s", |rig, node| rig.servers[node].pause(), |rig, node| rig.servers[node].resume());
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
