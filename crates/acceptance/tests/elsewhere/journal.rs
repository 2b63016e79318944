//! What clients of a daemon were told, held against what they get while it is killed.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use forebay_acceptance::daemon::Daemon;
use forebay_acceptance::queue::QueueClient;
use forebay_contract::servers::within;
use serde_json::{Value, json};

use crate::{DRAIN_MAX, HOLD, WAIT};

/// Messages that are confirmed before the daemon is killed, and after it.
const ENOUGH: usize = 200;

/// What the clients know, apart from the daemon.
#[derive(Default)]
struct Journal {
    confirmed: BTreeSet<String>,
    worked: BTreeSet<String>,
}

fn publish(stop: &AtomicBool, queue: &QueueClient, numbers: &AtomicU64, journal: &Mutex<Journal>) {
    while !stop.load(Relaxed) {
        let names: Vec<String> = (0..5).map(|_| format!("m{}", numbers.fetch_add(1, Relaxed))).collect();
        let messages: Vec<Value> = names.iter().map(|name| json!({ "payload": name, "id": name })).collect();
        match queue.publish(&messages) {
            Some(201) => journal.lock().unwrap().confirmed.extend(names),
            Some(status) => assert!(matches!(status, 429 | 503), "{status}"),
            None => thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn work(stop: &AtomicBool, queue: &QueueClient, journal: &Mutex<Journal>) {
    while !stop.load(Relaxed) {
        let Some(deliveries) = queue.receive(10, WAIT, HOLD) else {
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        for delivery in deliveries {
            let name = delivery["payload"].as_str().unwrap().to_owned();
            // Without an answer it is acknowledged or comes again: at least once allows both. It was handed out, and is not lost.
            let refused = queue.settle(&delivery, "ack", &json!({})).is_some_and(|(status, _)| status == 409);
            if !refused {
                journal.lock().unwrap().worked.insert(name);
            }
        }
    }
}

/// Publishes and works while the daemon is killed, and then until everything that was confirmed is done.
pub(crate) fn nothing_confirmed_is_lost_over_kill_9(daemon: &mut Daemon) {
    let queue = QueueClient::new(daemon.http, "orders");
    queue.declare(&json!({ "hold_ms": 3_000, "backoff_first_ms": 10, "attempt_max": 100 }));
    let (journal, numbers) = (Mutex::new(Journal::default()), AtomicU64::new(0));
    let (published, worked) = (AtomicBool::new(false), AtomicBool::new(false));
    let confirmed = || journal.lock().unwrap().confirmed.len();
    thread::scope(|threads| {
        let stops = StopAll([&published, &worked]);
        for _ in 0..2 {
            threads.spawn(|| publish(&published, &queue, &numbers, &journal));
            threads.spawn(|| work(&worked, &queue, &journal));
        }
        within(DRAIN_MAX, "messages are confirmed", || confirmed() >= ENOUGH);
        daemon.kill();
        let before = confirmed();
        daemon.restart();
        within(DRAIN_MAX, "messages are confirmed after the kill", || confirmed() >= before + ENOUGH);
        published.store(true, Relaxed);
        within(DRAIN_MAX, "everything confirmed is done", || {
            let journal = journal.lock().unwrap();
            journal.confirmed.is_subset(&journal.worked)
        });
        drop(stops);
    });
}

/// Ends the threads of a test that fails, so that it ends too.
struct StopAll<'a>([&'a AtomicBool; 2]);

impl Drop for StopAll<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|stop| stop.store(true, Relaxed));
    }
}
