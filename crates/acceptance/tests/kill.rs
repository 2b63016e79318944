//! kill -9 under load: what was confirmed is there afterwards, what was acknowledged does not come back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use forebay_acceptance::daemon::Daemon;
use forebay_acceptance::programs::torture;
use forebay_acceptance::queue::QueueClient;
use serde_json::{Value, json};

const PUBLISHERS: usize = 4;
const WORKERS: usize = 3;

/// What the clients know, apart from the daemon.
#[derive(Default)]
struct Journal {
    confirmed: BTreeSet<String>,
    acked: BTreeSet<String>,
    /// Deliveries whose acknowledgement got no answer: done or not, both are right.
    unsure: BTreeSet<String>,
    violations: Vec<String>,
    deliveries: BTreeMap<String, u64>,
}

const WAIT: Duration = Duration::from_millis(200);
const HOLD: Duration = Duration::from_secs(3);
/// How long a round may take.
const ROUND_MAX: Duration = Duration::from_secs(60);
/// How long what is left may come out without one message that is newly acknowledged.
const DRAIN_MAX: Duration = Duration::from_secs(110);

fn publish_until(stop: &AtomicBool, queue: &QueueClient, numbers: &AtomicU64, journal: &Mutex<Journal>) {
    while !stop.load(Ordering::Relaxed) {
        let names: Vec<String> =
            (0..5).map(|_| format!("m{}", numbers.fetch_add(1, Ordering::Relaxed))).collect();
        let messages: Vec<Value> = names.iter().map(|name| json!({ "payload": name, "id": name })).collect();
        if let Some(201) = queue.publish(&messages) {
            journal.lock().unwrap().confirmed.extend(names);
        }
    }
}

fn work_until(stop: &AtomicBool, queue: &QueueClient, journal: &Mutex<Journal>) {
    while !stop.load(Ordering::Relaxed) {
        for delivery in queue.receive(10, WAIT, HOLD).unwrap_or_default() {
            acknowledge(queue, &delivery, journal);
        }
    }
}

fn acknowledge(queue: &QueueClient, delivery: &Value, journal: &Mutex<Journal>) {
    let name = delivery["payload"].as_str().unwrap().to_string();
    {
        let mut journal = journal.lock().unwrap();
        *journal.deliveries.entry(name.clone()).or_default() += 1;
        if journal.acked.contains(&name) {
            journal.violations.push(format!("{name} was acknowledged and delivered again"));
        }
    }
    let answer = queue.settle(delivery, "ack", &json!({}));
    let mut journal = journal.lock().unwrap();
    match answer {
        Some((204, _)) => {
            journal.acked.insert(name);
        }
        Some((409, _)) => {}
        Some((status, body)) => journal.violations.push(format!("ack of {name}: {status} {body}")),
        None => {
            journal.unsure.insert(name);
        }
    }
}

#[test]
fn nothing_confirmed_is_lost_and_nothing_acknowledged_returns_over_rounds_of_kill_9() {
    let rounds: u64 = if torture() { 500 } else { 30 };
    let data = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(data.path());
    let queue = QueueClient::new(daemon.http, "load");
    queue.declare(&json!({ "attempt_max": 10_000, "backoff_first_ms": 1, "backoff_longest_ms": 1 }));

    let journal = Arc::new(Mutex::new(Journal::default()));
    let numbers = Arc::new(AtomicU64::new(0));
    for round in 0..rounds {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for _ in 0..PUBLISHERS {
            let (stop, queue) = (stop.clone(), QueueClient::new(daemon.http, "load"));
            let (numbers, journal) = (numbers.clone(), journal.clone());
            threads.push(thread::spawn(move || publish_until(&stop, &queue, &numbers, &journal)));
        }
        for _ in 0..WORKERS {
            let (stop, journal) = (stop.clone(), journal.clone());
            let queue = QueueClient::new(daemon.http, "load");
            threads.push(thread::spawn(move || work_until(&stop, &queue, &journal)));
        }
        // The kill waits for progress, not for time: a different number of confirms every round.
        let before = journal.lock().unwrap().confirmed.len() as u64;
        let (goal, begun) = (before + 20 + (round * 37) % 400, Instant::now());
        while (journal.lock().unwrap().confirmed.len() as u64) < goal {
            assert!(begun.elapsed() < ROUND_MAX, "round {round}: too few are confirmed");
            thread::yield_now();
        }
        daemon.kill();
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().unwrap();
        }
        daemon.restart();
    }

    // Everything that is left must come out, whoever held it before.
    let (mut quiet, mut acked, mut progress) = (0, 0, Instant::now());
    while quiet < 5 {
        let acked_now = journal.lock().unwrap().acked.len();
        if std::mem::replace(&mut acked, acked_now) < acked_now {
            progress = Instant::now();
        }
        assert!(progress.elapsed() < DRAIN_MAX, "there is no end of deliveries");
        let ask = json!({ "count_max": 10, "wait_ms": 1_000, "hold_ms": HOLD.as_millis() as u64 });
        let (status, answer) = queue.post("receive", &ask).expect("the daemon answers");
        assert_eq!(status, 200, "{answer}");
        let deliveries = answer["deliveries"].as_array().cloned().unwrap_or_default();
        quiet = if deliveries.is_empty() { quiet + 1 } else { 0 };
        for delivery in deliveries {
            acknowledge(&queue, &delivery, &journal);
        }
    }

    let journal = journal.lock().unwrap();
    let lost: Vec<&String> = journal
        .confirmed
        .iter()
        .filter(|name| !journal.acked.contains(*name) && !journal.unsure.contains(*name))
        .collect();
    let again = journal.deliveries.values().filter(|count| **count > 1).count();
    println!(
        "{rounds} rounds of kill -9: {} confirmed, {} acknowledged, {} acknowledgements unanswered, \
         {again} delivered more than once, {} lost",
        journal.confirmed.len(),
        journal.acked.len(),
        journal.unsure.len(),
        lost.len()
    );
    assert!(journal.violations.is_empty(), "{:?}", journal.violations);
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert!(journal.confirmed.len() as u64 >= rounds * 20);
}
