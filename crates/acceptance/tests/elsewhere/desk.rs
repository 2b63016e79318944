//! The HTTP queue API as an operator and a worker use it, on whatever broker the daemon has; and AMQP beside it.

use forebay_acceptance::daemon::Daemon;
use forebay_acceptance::programs::{python, session};
use forebay_acceptance::queue::QueueClient;
use forebay_contract::servers::within;
use serde_json::{Value, json};

use crate::{DRAIN_MAX, HOLD, WAIT, get};

/// What not every broker can do for operators.
#[derive(Clone, Copy)]
pub(crate) struct Looks {
    pub(crate) peek: bool,
    pub(crate) find: bool,
    pub(crate) replay: bool,
}

/// The next delivery of this message.
fn take(queue: &QueueClient, id: &str) -> Value {
    let mut found = None;
    within(DRAIN_MAX, "it is received", || {
        found = queue.receive(1, WAIT, HOLD).unwrap_or_default().pop();
        found.is_some()
    });
    let found = found.unwrap();
    assert_eq!(found["id"], id);
    found
}

/// Publishes, holds longer, fails, gives back, gives up, looks, sends back and purges.
pub(crate) fn the_queue_api_works(daemon: &Daemon, looks: Looks) {
    let (queue, lost) = (QueueClient::new(daemon.http, "desk"), QueueClient::new(daemon.http, "lost"));
    lost.declare(&json!({}));
    queue.declare(&json!({ "dead_letter": "lost", "backoff_first_ms": 10, "attempt_max": 5 }));
    let settle = |delivery: &Value, end: &str, body: &Value| queue.settle(delivery, end, body).unwrap();
    assert_eq!(queue.publish(&[json!({ "payload": "x", "id": "one", "headers": { "a": 1 } })]), Some(201));

    let first = take(&queue, "one");
    assert_eq!((&first["attempt"], &first["headers"]["a"]), (&json!(1), &json!(1)), "{first}");
    let (status, held) = settle(&first, "extend", &json!({ "hold_ms": 60_000 }));
    let longer = held["held_until_ms"].as_u64().unwrap() > first["held_until_ms"].as_u64().unwrap();
    assert!(status == 200 && longer, "{status} {held}");
    let (status, failed) = settle(&first, "nack", &json!({ "note": "not now" }));
    assert_eq!((status, &failed["outcome"]), (200, &json!("retry")), "{failed}");
    assert_eq!(settle(&first, "ack", &json!({})).0, 409, "it is not held any more");

    let again = take(&queue, "one");
    assert_eq!(again["attempt"], 2);
    assert_eq!(settle(&again, "nack", &json!({ "return": true })).1["outcome"], "returned");
    let back = take(&queue, "one");
    assert_eq!(
        settle(&back, "nack", &json!({ "reject": true, "note": "never" })).1["outcome"],
        "dead_letter"
    );

    let (status, shown) = get(daemon.http, "/v1/queues/desk/dead-letters");
    assert_eq!(status, if looks.peek { 200 } else { 501 }, "{shown}");
    assert!(!looks.peek || shown.contains("rejected") && shown.contains("never"), "{shown}");
    let (status, _) = get(daemon.http, "/v1/queues/lost/messages/one");
    assert_eq!(status, if looks.find { 200 } else { 501 });
    let (status, _) = get(daemon.http, "/v1/queues/lost/replay");
    assert_eq!(status, if looks.replay { 409 } else { 501 }, "the queue retains nothing");

    let mut redriven = 0;
    within(DRAIN_MAX, "it is sent back", || {
        let (status, body) = lost.post("redrive", &json!({})).unwrap();
        assert_eq!(status, 200, "{body}");
        redriven += body["redriven"].as_u64().unwrap();
        redriven == 1
    });
    let anew = take(&queue, "one");
    assert_eq!(anew["attempt"], 1, "it begins anew");
    assert_eq!(settle(&anew, "ack", &json!({})).0, 204);

    let later = json!({ "payload": "x", "id": "late", "delay_ms": 300 });
    assert_eq!(queue.publish(&[later]), Some(201));
    let late = take(&queue, "late");
    assert_eq!(settle(&late, "ack", &json!({})).0, 204);

    assert_eq!(queue.publish(&[json!({ "payload": "x" }), json!({ "payload": "x" })]), Some(201));
    let mut purged = 0;
    within(DRAIN_MAX, "all is purged", || {
        let (status, body) = queue.post("purge", &json!({})).unwrap();
        assert_eq!(status, 200, "{body}");
        purged += body["purged"].as_u64().unwrap();
        purged == 2
    });
    // Its exchanges and queues are on the engine of this process, whatever broker the others are on.
    session(python("amqp/kombu_session.py").arg(daemon.amqp.to_string()));
}
