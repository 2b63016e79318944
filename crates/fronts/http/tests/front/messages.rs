//! Publishing and looking.

use serde_json::json;

use crate::served::Served;

#[test]
fn everything_a_message_has_comes_out_as_it_went_in() {
    let served = Served::start();
    served.queue("q");
    let published = served.post(
        "/v1/queues/q/messages",
        &json!({
            "payload": "tea ☕", "id": "m-1", "content_type": "text/plain", "key": "k", "priority": 7,
            "headers": { "n": 1, "deep": { "list": [true, null, "x"] } }, "expires_in_ms": 60_000
        }),
    );
    assert_eq!((published.status, published.json()), (201, json!({ "ids": ["m-1"] })));
    let delivery = &served.receive("q", 1)[0];
    for (field, value) in [
        ("payload", json!("tea ☕")),
        ("id", json!("m-1")),
        ("content_type", json!("text/plain")),
        ("key", json!("k")),
        ("priority", json!(7)),
        ("headers", json!({ "n": 1, "deep": { "list": [true, null, "x"] } })),
        ("attempt", json!(1)),
        ("history", json!([])),
    ] {
        assert_eq!(delivery[field], value, "{field}");
    }
    assert!(delivery["held_until_ms"].as_u64() > delivery["published_at_ms"].as_u64());
    assert!(delivery["expires_at_ms"].as_u64() > delivery["published_at_ms"].as_u64());
}

#[test]
fn bytes_that_are_no_text_travel_in_base64() {
    let served = Served::start();
    served.queue("q");
    let published = served.post("/v1/queues/q/messages", &json!({ "payload_base64": "/wD+" }));
    assert_eq!(published.status, 201);
    let delivery = &served.receive("q", 1)[0];
    assert_eq!((&delivery["payload_base64"], &delivery["payload"]), (&json!("/wD+"), &json!(null)));
}

#[test]
fn a_batch_keeps_its_order_and_names_every_message() {
    let served = Served::start();
    served.queue("q");
    let messages: Vec<_> = (0..1_000).map(|number| json!({ "payload": number.to_string() })).collect();
    let reply = served.post("/v1/queues/q/messages", &json!({ "messages": messages }));
    assert_eq!(reply.status, 201);
    let ids = reply.json()["ids"].as_array().unwrap().clone();
    assert_eq!(ids.len(), 1_000);
    let mut taken = Vec::new();
    while taken.len() < 1_000 {
        taken.extend(served.receive("q", 1_000));
    }
    for (number, delivery) in taken.iter().enumerate() {
        assert_eq!(delivery["payload"], number.to_string());
        assert_eq!(delivery["id"], ids[number]);
    }
}

#[test]
fn a_delayed_message_waits_and_is_counted_as_delayed() {
    let served = Served::start();
    served.queue("q");
    let reply = served.post("/v1/queues/q/messages", &json!({ "payload": "later", "delay_ms": 3_600_000 }));
    assert_eq!(reply.status, 201);
    assert_eq!(served.get("/v1/queues/q").json()["delayed"], 1);
    let reply = served.post("/v1/queues/q/receive", &json!({}));
    assert_eq!(reply.json(), json!({ "deliveries": [] }));
}

#[test]
fn looking_takes_nothing() {
    let served = Served::start();
    served.queue("q");
    served.publish("q", &["a", "b", "c"]);
    for _ in 0..2 {
        let peeked = served.get("/v1/queues/q/messages?count_max=2").json();
        let payloads: Vec<_> =
            peeked["messages"].as_array().unwrap().iter().map(|message| &message["payload"]).collect();
        assert_eq!(payloads, ["a", "b"]);
    }
    assert_eq!(served.receive("q", 10).len(), 3);
}

#[test]
fn a_full_queue_is_back_pressure_with_a_time_to_come_back() {
    let served = Served::start();
    assert_eq!(served.json("PUT", "/v1/queues/q", &json!({ "length_max": 2 })).status, 201);
    served.publish("q", &["a", "b"]);
    let refused = served.post("/v1/queues/q/messages", &json!({ "payload": "c" }));
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.json()["retry"], true);
    assert!(refused.refusal().contains('q'));
}

#[test]
fn a_message_of_20_mebibytes_comes_back_equal() {
    let served = Served::start();
    served.queue("q");
    let payload: String =
        (0..20_u32 << 20).map(|place| char::from(b'a' + (place / 4_099 % 26) as u8)).collect();
    assert_eq!(served.post("/v1/queues/q/messages", &json!({ "payload": payload })).status, 201);
    let peeked = served.get("/v1/queues/q/messages?count_max=1").json();
    assert!(peeked["messages"][0]["payload"] == payload);
    let received = served.receive("q", 1);
    assert!(received[0]["payload"] == payload);
}

#[test]
fn a_message_over_its_limit_is_too_large() {
    let served = Served::start();
    served.queue("q");
    let headers = json!({ "t": "x".repeat(forebay_core::limits::HEADERS_BYTES_MAX) });
    let refused = served.post("/v1/queues/q/messages", &json!({ "payload": "", "headers": headers }));
    assert_eq!(refused.status, 413);
    refused.refusal();
    let deep = (0..40).fold(json!({}), |inner, _| json!({ "t": inner }));
    let refused = served.post("/v1/queues/q/messages", &json!({ "payload": "", "headers": deep }));
    assert_eq!(refused.status, 400, "{refused:?}");
}

#[test]
fn headers_of_many_values_are_refused_though_they_are_short() {
    let served = Served::start();
    served.queue("q");
    let publish = |headers: &str| {
        let body = format!(r#"{{"payload":"x","headers":{headers}}}"#);
        let json = [("content-type", "application/json")];
        served.ask("POST", "/v1/queues/q/messages", &json, body.as_bytes())
    };
    let list = |values: usize| format!(r#"{{"a":[1{}]}}"#, ",1".repeat(values - 1));
    assert_eq!(publish(&list(1_000)).status, 201);
    assert_eq!(publish("null").status, 201, "as good as none");
    for values in [100_000, 15 << 20] {
        let refused = publish(&list(values));
        assert_eq!(refused.status, 413, "{values}");
        assert!(refused.refusal().contains("headers"), "{refused:?}");
    }
    let refused = publish("[]");
    assert_eq!(
        (refused.status, refused.refusal().as_str()),
        (400, "read message 0: headers: expected an object")
    );
}

#[test]
fn a_message_is_taken_once_for_its_dedup_id() {
    let served = Served::start();
    served.queue("q");
    for id in ["first", "again"] {
        let message = json!({ "payload": "x", "id": id, "dedup_id": "order 7" });
        let published = served.post("/v1/queues/q/messages", &message);
        assert_eq!((published.status, published.json()), (201, json!({ "ids": [id] })));
    }
    let taken = served.receive("q", 10);
    assert_eq!(
        (taken.len(), &taken[0]["id"], &taken[0]["dedup_id"]),
        (1, &json!("first"), &json!("order 7"))
    );
    assert_eq!(served.get("/v1/queues/q").json()["repeated"], 1);
}

#[test]
fn a_message_is_found_by_its_id_wherever_it_is() {
    let served = Served::start();
    served.queue("q");
    for (id, delay) in [("a/b ü", 0), ("ready", 0), ("late", 60_000)] {
        let message = json!({ "payload": id, "id": id, "delay_ms": delay });
        assert_eq!(served.post("/v1/queues/q/messages", &message).status, 201);
    }
    let held = &served.receive("q", 1)[0];
    let find = |id: &str| served.get(&format!("/v1/queues/q/messages/{id}"));
    let found = find("a%2Fb%20%C3%BC").json();
    assert_eq!((&found["place"], &found["payload"]), (&json!("held"), &json!("a/b ü")));
    assert_eq!(found["until_ms"], held["held_until_ms"]);
    let found = find("ready").json();
    assert_eq!((&found["place"], &found["until_ms"]), (&json!("ready"), &json!(null)));
    let found = find("late").json();
    assert_eq!(found["place"], "delayed");
    assert!(found["until_ms"].as_u64() > found["published_at_ms"].as_u64());
    let missing = find("none");
    assert_eq!(missing.status, 404);
    assert!(missing.refusal().contains("none"), "{missing:?}");
    assert_eq!(served.get("/v1/queues/other/messages/ready").status, 404);
}

#[test]
fn a_queue_that_retains_replays_what_is_finished_and_what_is_not() {
    let served = Served::start();
    served.queue("plain");
    assert_eq!(served.get("/v1/queues/plain/replay").status, 409);
    served.json("PUT", "/v1/queues/kept", &json!({ "retain_ms": 60_000 }));
    for payload in ["a", "b", "c"] {
        served.post("/v1/queues/kept/messages", &json!({ "payload": payload }));
    }
    let taken = served.receive("kept", 1);
    let ack = format!("/v1/queues/kept/deliveries/{}/ack", taken[0]["delivery"].as_str().unwrap());
    assert_eq!(served.post(&ack, &json!({})).status, 204);
    let replay =
        |query: &str| served.get(&format!("/v1/queues/kept/replay{query}")).json()["messages"].clone();
    let payloads = |messages: &serde_json::Value| -> Vec<String> {
        messages
            .as_array()
            .unwrap()
            .iter()
            .map(|message| message["payload"].as_str().unwrap().into())
            .collect()
    };
    let all = replay("");
    assert_eq!(payloads(&all), ["a", "b", "c"]);
    assert_eq!(payloads(&replay("?count_max=2")), ["a", "b"]);
    assert_eq!(payloads(&replay(&format!("?after={}", all[1]["position"]))), ["c"]);
    assert_eq!(payloads(&replay("?since_ms=0")), ["a", "b", "c"]);
    assert_eq!(payloads(&replay(&format!("?since_ms=0&after={}", all[0]["position"]))), ["b", "c"]);
    assert_eq!(served.get("/v1/queues/kept").json()["retained"], 1);
}
