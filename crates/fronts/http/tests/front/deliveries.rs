//! Receiving, and every end of a delivery.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::served::{Reply, Served};

fn path(delivery: &Value, verb: &str) -> String {
    format!("/v1/queues/q/deliveries/{}/{verb}", delivery["delivery"].as_str().unwrap())
}

fn held(served: &Served) -> Value {
    served.queue("q");
    served.publish("q", &["work"]);
    served.receive("q", 1).remove(0)
}

#[test]
fn an_acknowledged_message_does_not_come_back_and_a_second_acknowledgement_is_told_so() {
    let served = Served::start();
    let delivery = held(&served);
    assert_eq!(served.ask("POST", &path(&delivery, "ack"), &[], b"").status, 204);
    for verb in ["ack", "nack"] {
        let late = served.ask("POST", &path(&delivery, verb), &[], b"");
        assert_eq!(late.status, 409, "{verb}");
        assert!(late.refusal().contains("no longer held"));
    }
    let late = served.post(&path(&delivery, "extend"), &json!({ "hold_ms": 1_000 }));
    assert_eq!(late.status, 409);
    let shown = served.get("/v1/queues/q").json();
    assert_eq!((&shown["ready"], &shown["held"], &shown["acked"]), (&json!(0), &json!(0), &json!(1)));
}

#[test]
fn a_message_that_fails_every_attempt_is_dead_lettered_with_its_history_and_can_go_back() {
    let served = Served::start();
    let delivery = held(&served);
    let nacked = served.post(&path(&delivery, "nack"), &json!({ "note": "printer on fire" })).json();
    assert_eq!(nacked["outcome"], "retry");
    assert!(nacked["at_ms"].is_u64(), "{nacked}");
    let again = &served.receive("q", 1)[0];
    assert_eq!(again["attempt"], 2);
    let nacked = served.post(&path(again, "nack"), &json!({ "note": "still on fire" }));
    assert_eq!(nacked.json(), json!({ "outcome": "dead_letter" }));

    for place in ["/v1/queues/q/dead-letters", "/v1/queues/dead/messages"] {
        let dead = served.get(place).json();
        let dead = &dead["messages"][0];
        assert_eq!(dead["payload"], "work", "{place}");
        let history = &dead["history"][0];
        assert_eq!((&history["queue"], &history["reason"]), (&json!("q"), &json!("attempts_spent")));
        assert_eq!((&history["attempts"], &history["note"]), (&json!(2), &json!("still on fire")));
    }
    assert_eq!(served.post("/v1/queues/dead/redrive", &json!({})).json(), json!({ "redriven": 1 }));
    assert_eq!(served.receive("q", 1)[0]["attempt"], 1, "with fresh attempts");
}

#[test]
fn a_queue_without_dead_letters_has_an_empty_list_of_them() {
    let served = Served::start();
    assert_eq!(served.ask("PUT", "/v1/queues/q", &[], b"").status, 201);
    assert_eq!(served.get("/v1/queues/q/dead-letters").json(), json!({ "messages": [] }));
    assert_eq!(served.get("/v1/queues/absent/dead-letters").status, 404);
}

#[test]
fn dead_letters_of_another_queue_are_not_shown() {
    let served = Served::start();
    served.queue("q");
    served.queue("other");
    served.publish("q", &["mine"]);
    served.publish("other", &["theirs"]);
    for queue in ["q", "other"] {
        let delivery = served.receive(queue, 1).remove(0);
        let id = delivery["delivery"].as_str().unwrap();
        let path = format!("/v1/queues/{queue}/deliveries/{id}/nack");
        assert_eq!(
            served.post(&path, &json!({ "reject": true })).json(),
            json!({ "outcome": "dead_letter" })
        );
    }
    let listed = served.get("/v1/queues/q/dead-letters").json();
    let payloads: Vec<_> = listed["messages"].as_array().unwrap().iter().map(|one| &one["payload"]).collect();
    assert_eq!(payloads, ["mine"]);
}

#[test]
fn a_returned_message_is_ready_again_and_has_used_no_attempt() {
    let served = Served::start();
    let delivery = held(&served);
    let nacked = served.post(&path(&delivery, "nack"), &json!({ "return": true }));
    assert_eq!(nacked.json(), json!({ "outcome": "returned" }));
    assert_eq!(served.receive("q", 1)[0]["attempt"], 1);
}

#[test]
fn a_hold_can_be_extended() {
    let served = Served::start();
    let delivery = held(&served);
    let extended = served.post(&path(&delivery, "extend"), &json!({ "hold_ms": 3_600_000 }));
    assert_eq!(extended.status, 200);
    assert!(extended.json()["held_until_ms"].as_u64() > delivery["held_until_ms"].as_u64());
}

#[test]
fn a_long_poll_is_answered_as_soon_as_there_is_a_message() {
    let served = Served::start();
    served.queue("q");
    let receive = json!({ "wait_ms": 30_000 }).to_string();
    thread::scope(|scope| {
        let mut waiting = served.send(
            "POST",
            "/v1/queues/q/receive",
            &[("content-type", "application/json")],
            receive.as_bytes(),
        );
        let reply = scope.spawn(move || Reply::read(&mut waiting));
        served.publish("q", &["now"]);
        assert_eq!(reply.join().unwrap().json()["deliveries"][0]["payload"], "now");
    });
}

#[test]
fn a_long_poll_is_answered_empty_when_the_front_stops() {
    let served = Served::start();
    served.queue("q");
    let receive = json!({ "wait_ms": 30_000 }).to_string();
    let begun = std::time::Instant::now();
    let mut waiting = served.send(
        "POST",
        "/v1/queues/q/receive",
        &[("content-type", "application/json")],
        receive.as_bytes(),
    );
    // A request on another connection is answered after the first one has been taken up.
    assert_eq!(served.get("/health").status, 200);
    served.tell_to_stop();
    let reply = Reply::read(&mut waiting);
    assert_eq!((reply.status, reply.json()), (200, json!({ "deliveries": [] })));
    assert!(served.drain().unfinished.is_empty());
    assert!(begun.elapsed() < Duration::from_secs(20), "it did not wait out its 30 seconds");
}

#[test]
fn a_consumer_that_hangs_up_while_it_waits_takes_nothing() {
    let served = Served::start();
    served.queue("q");
    let receive = json!({ "wait_ms": 30_000 }).to_string();
    for _ in 0..20 {
        let waiting = served.send(
            "POST",
            "/v1/queues/q/receive",
            &[("content-type", "application/json")],
            receive.as_bytes(),
        );
        drop(waiting);
    }
    // Once its connection is the only one, the front has noticed all the others' end.
    while !String::from_utf8(served.get("/metrics").body)
        .unwrap()
        .contains("forebay_connections{front=\"http\"} 1\n")
    {}
    served.publish("q", &["precious"]);
    let deliveries = served.receive("q", 1);
    assert_eq!(deliveries[0]["payload"], "precious");
    assert_eq!(deliveries[0]["attempt"], 1, "nobody had it before");
}

#[test]
fn an_answer_stays_within_its_bound_and_the_rest_stays_in_the_queue() {
    let served = Served::start();
    served.queue("q");
    let large = "x".repeat(4 << 20);
    for _ in 0..6 {
        served.publish("q", &[&large]);
    }
    let first = served.receive("q", 1_000).len();
    assert!((1..6).contains(&first), "{first}");
    let mut taken = first;
    while taken < 6 {
        taken += served.receive("q", 1_000).len();
    }
}
