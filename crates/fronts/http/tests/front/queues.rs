//! Declaring queues and looking after them.

use serde_json::json;

use crate::served::Served;

#[test]
fn a_queue_declared_twice_is_one_and_declared_differently_a_conflict() {
    let served = Served::start();
    let settings = json!({ "attempt_max": 3, "overflow": "drop_head", "backoff_jitter": 0.25 });
    let created = served.json("PUT", "/v1/queues/orders", &settings);
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.json()["attempt_max"], 3);
    assert_eq!(created.json()["overflow"], "drop_head");
    assert_eq!(served.json("PUT", "/v1/queues/orders", &settings).status, 200);
    let differs = served.json("PUT", "/v1/queues/orders", &json!({ "attempt_max": 4 }));
    assert_eq!(differs.status, 409);
    assert!(differs.refusal().contains("orders"), "{differs:?}");
    assert_eq!(served.get("/v1/queues/orders").json()["attempt_max"], 3);
}

#[test]
fn a_queue_needs_no_settings() {
    let served = Served::start();
    assert_eq!(served.ask("PUT", "/v1/queues/plain", &[], b"").status, 201);
    assert_eq!(served.json("PUT", "/v1/queues/plain", &json!(null)).status, 200);
    let shown = served.get("/v1/queues/plain").json();
    assert_eq!((&shown["attempt_max"], &shown["hold_ms"]), (&json!(5), &json!(30_000)));
}

#[test]
fn any_name_that_is_a_name_works_when_percent_encoded() {
    let served = Served::start();
    for (encoded, name) in
        [("a%2Fb", "a/b"), ("%C3%BCber%20alles", "über alles"), ("%25", "%"), ("a+b", "a+b")]
    {
        let path = format!("/v1/queues/{encoded}");
        assert_eq!(served.ask("PUT", &path, &[], b"").status, 201, "{name}");
        assert_eq!(served.get(&path).json()["name"], name);
        served.publish(encoded, &["x"]);
        assert_eq!(served.receive(encoded, 1).len(), 1, "{name}");
    }
    let listed = served.get("/v1/queues").json();
    let names: Vec<_> = listed["queues"].as_array().unwrap().iter().map(|queue| &queue["name"]).collect();
    assert_eq!(names, ["%", "a+b", "a/b", "über alles"]);
}

#[test]
fn a_first_wait_is_cut_to_the_longest() {
    let served = Served::start();
    let waits = |settings| {
        let body = served.json("PUT", "/v1/queues/q", &settings).json();
        assert_eq!(served.ask("DELETE", "/v1/queues/q", &[], b"").status, 204);
        (body["backoff_first_ms"].as_u64().unwrap(), body["backoff_longest_ms"].as_u64().unwrap())
    };
    assert_eq!(waits(json!({ "backoff_first_ms": 5, "backoff_longest_ms": 2 })), (2, 2));
    assert_eq!(waits(json!({ "backoff_first_ms": 900_000 })), (900_000, 900_000));
    assert_eq!(waits(json!({ "backoff_longest_ms": 10 })), (10, 10));
}

#[test]
fn a_deleted_queue_is_gone() {
    let served = Served::start();
    served.queue("q");
    served.publish("q", &["a"]);
    assert_eq!(served.ask("DELETE", "/v1/queues/q", &[], b"").status, 204);
    for (method, path) in
        [("GET", ""), ("DELETE", ""), ("POST", "/purge"), ("POST", "/redrive"), ("GET", "/messages")]
    {
        let reply = served.ask(method, &format!("/v1/queues/q{path}"), &[], b"");
        assert_eq!(reply.status, 404, "{method} {path}");
        reply.refusal();
    }
}

#[test]
fn a_purge_says_how_many_it_threw_away() {
    let served = Served::start();
    served.queue("q");
    served.publish("q", &["a", "b", "c"]);
    assert_eq!(served.receive("q", 1).len(), 1);
    assert_eq!(served.ask("POST", "/v1/queues/q/purge", &[], b"").json(), json!({ "purged": 2 }));
    let shown = served.get("/v1/queues/q").json();
    assert_eq!((&shown["ready"], &shown["held"]), (&json!(0), &json!(1)));
}

#[test]
fn what_a_queue_keeps_in_order_and_tells_apart_is_declared_and_shown() {
    let served = Served::start();
    let plain = served.json("PUT", "/v1/queues/plain", &json!({})).json();
    let kept = |queue: &serde_json::Value| {
        ["order", "priority_max", "dedup_window_ms", "paused"].map(|field| queue[field].clone())
    };
    assert_eq!(kept(&plain), [json!("arrival"), json!(0), json!(120_000), json!(false)]);
    let settings = json!({ "order": "key", "dedup_window_ms": 0 });
    let keyed = served.json("PUT", "/v1/queues/keyed", &settings).json();
    assert_eq!(kept(&keyed), [json!("key"), json!(0), json!(0), json!(false)]);
    served.json("PUT", "/v1/queues/classes", &json!({ "priority_max": 9 }));
    let both = served.json("PUT", "/v1/queues/both", &json!({ "order": "key", "priority_max": 9 }));
    assert_eq!(both.status, 400);
    for (field, value) in
        [("order", json!("random")), ("priority_max", json!(256)), ("dedup_window_ms", json!(86_400_001))]
    {
        let refused = served.json("PUT", "/v1/queues/wrong", &json!({ field: value }));
        assert_eq!(refused.status, 400);
        assert!(refused.refusal().contains(field), "{refused:?}");
    }
    for (payload, key, priority) in [("low", "a", 1), ("high", "a", 9), ("other", "b", 1)] {
        for queue in ["keyed", "classes"] {
            let message = json!({ "payload": payload, "key": key, "priority": priority });
            assert_eq!(served.post(&format!("/v1/queues/{queue}/messages"), &message).status, 201);
        }
    }
    let taken = |queue| -> Vec<_> {
        served.receive(queue, 10).iter().map(|taken| taken["payload"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(taken("keyed"), ["low", "other"]);
    assert_eq!(taken("classes"), ["high", "low", "other"]);
}

#[test]
fn a_paused_queue_hands_nothing_out_until_it_is_resumed() {
    let served = Served::start();
    served.queue("q");
    served.publish("q", &["x"]);
    assert_eq!(served.ask("POST", "/v1/queues/q/pause", &[], b"").status, 204);
    assert_eq!(served.get("/v1/queues/q").json()["paused"], true);
    assert!(served.receive("q", 1).is_empty());
    assert_eq!(served.ask("POST", "/v1/queues/q/resume", &[], b"").status, 204);
    assert_eq!(served.receive("q", 1).len(), 1);
    assert_eq!(served.ask("POST", "/v1/queues/none/pause", &[], b"").status, 404);
    assert_eq!(served.ask("POST", "/v1/queues/none/resume", &[], b"").status, 404);
}
