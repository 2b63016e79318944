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

#[test]
fn every_setting_is_declared_shown_and_compared() {
    let served = Served::start();
    let settings = json!({
        "attempt_max": 3, "backoff_first_ms": 10, "backoff_longest_ms": 20, "backoff_jitter": 0.25, "hold_ms": 1_000,
        "dead_letter": "given up", "dead_letter_exchange": "letters", "dead_letter_key": "", "message_ttl_ms": 60_000,
        "length_max": 0, "length_bytes_max": 4_096, "overflow": "drop_head", "order": "arrival", "priority_max": 9,
        "dedup_window_ms": 5_000, "retain_ms": 7_000, "newest_by_key": true, "lifetime": "process",
    });
    let created = served.json("PUT", "/v1/queues/all", &settings);
    assert_eq!(created.status, 201, "{created:?}");
    let shown = served.get("/v1/queues/all").json();
    for (setting, value) in settings.as_object().unwrap() {
        assert_eq!(&shown[setting], value, "{setting}");
        let mut without = settings.clone();
        without.as_object_mut().unwrap().remove(setting);
        let expected = match setting.as_str() {
            // That is the default.
            "order" => 200,
            // The key needs the exchange, and no length the overflow.
            "dead_letter_exchange" | "overflow" => 400,
            _ => 409,
        };
        assert_eq!(served.json("PUT", "/v1/queues/all", &without).status, expected, "without {setting}");
    }
    assert_eq!(served.json("PUT", "/v1/queues/all", &settings).status, 200);
    let document = served.get("/openapi.json").json();
    let described = document["components"]["schemas"]["NewQueue"]["properties"].as_object().unwrap();
    assert_eq!(
        described.keys().collect::<Vec<_>>(),
        settings.as_object().unwrap().keys().collect::<Vec<_>>()
    );
}

#[test]
fn settings_that_a_queue_need_not_have_are_absent_or_their_defaults() {
    let served = Served::start();
    let plain = served.json("PUT", "/v1/queues/plain", &json!({})).json();
    for setting in
        ["dead_letter", "dead_letter_exchange", "dead_letter_key", "message_ttl_ms", "length_bytes_max"]
    {
        assert!(plain.get(setting).is_none(), "{setting}");
    }
    assert_eq!((&plain["lifetime"], &plain["length_max"]), (&json!("durable"), &json!(10_000_000)));
}

#[test]
fn settings_beyond_their_limits_or_that_do_not_fit_are_refused_by_name() {
    let served = Served::start();
    for (name, settings) in [
        ("dead_letter_exchange", json!({ "dead_letter_exchange": "x".repeat(256) })),
        ("dead_letter_key", json!({ "dead_letter_exchange": "x", "dead_letter_key": "k".repeat(256) })),
        ("dead_letter_key", json!({ "dead_letter_key": "k" })),
        ("message_ttl_ms", json!({ "message_ttl_ms": 3_162_240_000_001_u64 })),
        ("length_bytes_max", json!({ "length_bytes_max": -1 })),
        ("length_max", json!({ "length_max": 0 })),
        ("lifetime", json!({ "lifetime": "brief" })),
    ] {
        let refused = served.json("PUT", "/v1/queues/wrong", &settings);
        assert_eq!(refused.status, 400, "{settings}");
        assert!(refused.refusal().contains(name), "{refused:?}");
    }
    assert_eq!(served.get("/v1/queues/wrong").status, 404);
}

#[test]
fn what_a_queue_is_declared_with_has_its_effect() {
    let served = Served::start();
    let declare = |queue: &str, settings| {
        assert_eq!(served.json("PUT", &format!("/v1/queues/{queue}"), &settings).status, 201);
    };
    declare("grave", json!({}));
    // The default exchange brings it to the queue of this name.
    let to_grave = json!({ "dead_letter_exchange": "", "dead_letter_key": "grave", "message_ttl_ms": 0 });
    declare("brief", to_grave);
    served.publish("brief", &["expires"]);
    let dead = served.post("/v1/queues/grave/receive", &json!({ "wait_ms": 20_000 })).json();
    assert_eq!(dead["deliveries"][0]["payload"], "expires", "{dead}");
    declare("small", json!({ "length_bytes_max": 4, "overflow": "drop_head" }));
    served.publish("small", &["abc", "def"]);
    assert_eq!(served.get("/v1/queues/small").json()["ready"], 1);
}
