//! Cache and queues under half of what they can do, for long: memory and disk stay what they are, nothing is lost.
//!
//! A few seconds in every test run, which only shows that it works; twenty minutes under `make torture`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use forebay_acceptance::daemon::Daemon;
use forebay_acceptance::programs::torture;
use forebay_acceptance::queue::QueueClient;
use forebay_acceptance::random::Random;
use forebay_acceptance::raw::Raw;
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;
/// So many clients of each kind.
const PUBLISHERS: usize = 2;
const CONSUMERS: usize = 3;
/// Keys that the cache is asked for; more than it has room for.
const KEYS: usize = 400_000;
const BATCH: usize = 32;
/// Publishers wait while so many messages are not finished.
const OPEN_MAX: usize = 2_000;
const WAIT: Duration = Duration::from_millis(500);
const HOLD: Duration = Duration::from_secs(10);

/// The times of one run.
struct Span {
    calibrate: Duration,
    run: Duration,
    look: Duration,
}

/// What all clients share.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Nanoseconds between two steps of a client; 0 as fast as it goes.
    publish_every: AtomicU64,
    cache_every: AtomicU64,
    published: AtomicU64,
    asked: AtomicU64,
    finished: AtomicU64,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    /// Confirmed and not yet finished.
    open: BTreeSet<u64>,
    /// The other way round, where the confirm comes later.
    early: BTreeSet<u64>,
}

impl Shared {
    fn confirmed(&self, number: u64) {
        let mut books = self.books.lock().unwrap();
        if !books.early.remove(&number) {
            books.open.insert(number);
        }
    }

    fn finish(&self, number: u64) {
        self.finished.fetch_add(1, Relaxed);
        let mut books = self.books.lock().unwrap();
        if !books.open.remove(&number) {
            books.early.insert(number);
        }
    }

    fn open(&self) -> usize {
        self.books.lock().unwrap().open.len()
    }

    /// Steps until the end, each no earlier than the pace allows.
    fn pace(&self, every: &AtomicU64, mut step: impl FnMut()) {
        let mut due = Instant::now();
        while !self.stop.load(Relaxed) {
            step();
            due += Duration::from_nanos(every.load(Relaxed));
            match due.checked_duration_since(Instant::now()) {
                Some(early) => thread::sleep(early),
                // What could not be kept up with is not made up for: half the load stays half the load.
                None => due = Instant::now(),
            }
        }
    }
}

/// Messages of 1 KiB, some of them late, some longer.
fn publish(shared: &Shared, queue: &QueueClient, first: u64) {
    let (mut number, mut random) = (first, Random::new(first + 1));
    shared.pace(&shared.publish_every, || {
        // All that can be done at once is what the slower side can do.
        if shared.open() > OPEN_MAX {
            return thread::sleep(Duration::from_millis(1));
        }
        let numbers: Vec<u64> = (number..number + 20).collect();
        number += 20;
        let message = |number: &u64| {
            let length = if random.once_in(50) { 20_000 } else { 1_000 };
            let mut message = json!({ "id": number.to_string(), "payload": "x".repeat(length) });
            if random.once_in(3) {
                message["dedup_id"] = json!(number.to_string());
            }
            if random.once_in(20) {
                message["delay_ms"] = json!(random.below(2_000));
            }
            message
        };
        let messages: Vec<Value> = numbers.iter().map(message).collect();
        if queue.publish(&messages) == Some(201) {
            shared.published.fetch_add(20, Relaxed);
            numbers.into_iter().for_each(|number| shared.confirmed(number));
        }
    });
}

/// Most are done, some fail once, one in a thousand for good.
fn consume(shared: &Shared, queue: &QueueClient, until: impl Fn() -> bool) {
    while !until() {
        for delivery in queue.receive(50, WAIT, HOLD).unwrap_or_default() {
            take(shared, queue, &delivery);
        }
    }
}

/// An operator looks through the dead letters. Some were made so by nobody's word, when a hold ran out.
fn bury(shared: &Shared, dead: &QueueClient) {
    for letter in dead.receive(1_000, Duration::ZERO, HOLD).unwrap_or_default() {
        if let Some((204, _)) = dead.settle(&letter, "ack", &json!({})) {
            shared.finish(letter["id"].as_str().unwrap().parse().unwrap());
        }
    }
}

/// Ends the clients, also where the test fails: they would go on for ever.
struct Stop<'a>(&'a Shared);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Relaxed);
    }
}

fn take(shared: &Shared, queue: &QueueClient, delivery: &Value) {
    let number: u64 = delivery["id"].as_str().unwrap().parse().unwrap();
    let attempt = delivery["attempt"].as_u64().unwrap();
    let failed = number.is_multiple_of(1_000) || number.is_multiple_of(20) && attempt == 1;
    if !failed {
        if let Some((204, _)) = queue.settle(delivery, "ack", &json!({})) {
            shared.finish(number);
        }
    } else {
        // Whether it comes again or is a dead letter now, somebody will see it.
        let _ = queue.settle(delivery, "nack", &json!({ "note": "not now" }));
    }
}

/// Gets and sets, one of ten a set, of values from a few bytes to tens of kilobytes, some with an end.
fn ask_cache(shared: &Shared, daemon: &Daemon) {
    let (mut raw, mut random) = (Raw::connect(daemon.memcached), Random::new(7));
    shared.pace(&shared.cache_every, || {
        let mut commands = Vec::new();
        for _ in 0..BATCH {
            let key = random.below(KEYS).min(random.below(KEYS));
            if random.once_in(10) {
                let length = if random.once_in(200) { random.below(60_000) } else { random.below(600) };
                let ends = if random.once_in(4) { 1 + random.below(120) } else { 0 };
                commands.extend(format!("set key:{key} 0 {ends} {length} noreply\r\n").bytes());
                commands.resize(commands.len() + length, b'v');
                commands.extend(b"\r\n");
            } else {
                commands.extend(format!("mg key:{key} s\r\n").bytes());
            }
        }
        raw.ask(&commands);
        shared.asked.fetch_add(BATCH as u64, Relaxed);
    });
}

/// Holds one message for the whole time: whatever is behind it must go without it.
fn hold_on(shared: &Shared, queue: &QueueClient) {
    queue.publish(&[json!({ "id": "0", "payload": "held" })]);
    let held = queue.receive(1, WAIT, HOLD).unwrap().pop().expect("the one that was published");
    while !shared.stop.load(Relaxed) {
        assert_eq!(
            queue.settle(&held, "extend", &json!({ "hold_ms": 20_000 })).map(|answer| answer.0),
            Some(200)
        );
        thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(
        queue.settle(&held, "ack", &json!({})).map(|answer| answer.0),
        Some(204),
        "it is held to the end"
    );
}

/// Bytes that the files in a directory take on disk.
fn disk_bytes(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(directory).unwrap().filter_map(Result::ok);
    entries
        // A file may go between being listed and being looked at.
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
        .map(|(path, is)| if is.is_dir() { disk_bytes(&path) } else { is.blocks() * 512 })
        .sum()
}

#[derive(Clone, Copy, Debug)]
struct Look {
    resident: u64,
    disk: u64,
}

/// The most of what `part` of the looks saw.
fn most(looks: &[Look], of: impl Fn(&Look) -> u64) -> u64 {
    looks.iter().map(of).max().unwrap_or(0)
}

#[test]
fn memory_and_disk_stay_flat_at_half_load_and_nothing_is_lost() {
    let span = if torture() {
        Span {
            calibrate: Duration::from_secs(10),
            run: Duration::from_secs(20 * 60),
            look: Duration::from_secs(5),
        }
    } else {
        Span {
            calibrate: Duration::from_secs(1),
            run: Duration::from_secs(6),
            look: Duration::from_millis(100),
        }
    };
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start_with(data.path(), &["--memory", "64MiB", "--queue-disk", "1GiB"]);
    let queue = || QueueClient::new(daemon.http, "soak");
    QueueClient::new(daemon.http, "held").declare(&json!({}));
    let dead = QueueClient::new(daemon.http, "dead");
    dead.declare(&json!({}));
    queue().declare(&json!({
        "attempt_max": 3,
        "backoff_first_ms": 20,
        "backoff_longest_ms": 200,
        "dead_letter": "dead",
        "dedup_window_ms": 5_000,
    }));

    let shared = Arc::new(Shared::default());
    let mut looks = Vec::new();
    thread::scope(|scope| {
        let _stop = Stop(&shared);
        for publisher in 0..PUBLISHERS {
            let (shared, queue) = (&shared, queue());
            scope.spawn(move || publish(shared, &queue, 1 + publisher as u64 * (1 << 40)));
        }
        for _ in 0..CONSUMERS {
            let (shared, queue) = (&shared, queue());
            scope.spawn(move || consume(shared, &queue, || shared.stop.load(Relaxed)));
        }
        scope.spawn(|| ask_cache(&shared, &daemon));
        scope.spawn(|| hold_on(&shared, &QueueClient::new(daemon.http, "held")));

        // What all can do at once; from then on each client takes twice the time for every step.
        thread::sleep(span.calibrate);
        let (published, asked) = (shared.published.load(Relaxed), shared.asked.load(Relaxed));
        let twice = |steps: u64| 2 * span.calibrate.as_nanos() as u64 / steps.max(1);
        shared.publish_every.store(twice(published / 20 / PUBLISHERS as u64), Relaxed);
        shared.cache_every.store(twice(asked / BATCH as u64), Relaxed);

        let end = Instant::now() + span.run;
        while Instant::now() < end {
            thread::sleep(span.look);
            looks.push(Look { resident: daemon.resident_bytes(), disk: disk_bytes(data.path()) });
            bury(&shared, &dead);
        }
    });

    // What is left comes out: the late ones and those that failed as well.
    let end = Instant::now() + Duration::from_secs(60);
    thread::scope(|scope| {
        let over = || shared.open() == 0 || Instant::now() > end;
        for _ in 0..CONSUMERS {
            let (shared, queue) = (&shared, queue());
            scope.spawn(move || consume(shared, &queue, over));
        }
        while !over() {
            bury(&shared, &dead);
            thread::sleep(span.look);
        }
    });
    assert_eq!(shared.open(), 0, "lost: {:?}", shared.books.lock().unwrap().open);

    let (_warm_up, rest) = looks.split_at(looks.len() / 3);
    let (middle, last) = rest.split_at(rest.len() / 2);
    let resident = |looks: &[Look]| most(looks, |look| look.resident);
    let disk = |looks: &[Look]| most(looks, |look| look.disk);
    println!(
        "soak of {} s: {} published, {} finished, {} asked of the cache; resident {} MiB in the middle third, {} MiB in the \
         last; disk {} and {} MiB",
        span.run.as_secs(),
        shared.published.load(Relaxed),
        shared.finished.load(Relaxed),
        shared.asked.load(Relaxed),
        resident(middle) / MIB,
        resident(last) / MIB,
        disk(middle) / MIB,
        disk(last) / MIB,
    );
    assert!(shared.published.load(Relaxed) > 0 && shared.asked.load(Relaxed) > 0);
    assert!(disk(&looks) <= 1024 * MIB, "within what it may take");
    if torture() {
        assert!(resident(last) <= resident(middle) + resident(middle) / 50 + 4 * MIB, "{looks:?}");
        assert!(disk(last) <= disk(middle) + 2 * 16 * MIB, "{looks:?}");
    }
    assert!(daemon.stop());
}
