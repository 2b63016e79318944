//! Bad input: always a 4xx, always JSON, always saying what is wrong.

use serde_json::json;

use crate::served::Served;

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

#[test]
fn unknown_places_and_methods_are_refused_in_json() {
    let served = Served::start();
    for path in
        ["/", "/nope", "/v1", "/v1/", "/v1/queues/", "/v1/queues/q/nope", "/v1/cache/a/b", "//", "/v1/cache/"]
    {
        let refused = served.get(path);
        assert_eq!(refused.status, 404, "{path}");
        refused.refusal();
    }
    for (method, path, allow) in [
        ("PATCH", "/v1/queues/q", "DELETE,GET,HEAD,PUT"),
        ("DELETE", "/v1/queues", "GET,HEAD"),
        ("GET", "/v1/queues/q/receive", "POST"),
        ("POST", "/metrics", "GET,HEAD"),
        ("BREW", "/v1/cache/k", "DELETE,GET,HEAD,PUT"),
        ("OPTIONS", "/openapi.json", "GET,HEAD"),
    ] {
        let refused = served.ask(method, path, &[], b"");
        assert_eq!(refused.status, 405, "{method} {path}");
        refused.refusal();
        let mut allowed: Vec<_> = refused.header("allow").unwrap().split(',').collect();
        allowed.sort_unstable();
        assert_eq!(allowed.join(","), allow, "{method} {path}");
    }
}

#[test]
fn a_wrong_field_is_named_and_never_repeated() {
    let served = Served::start();
    served.queue("q");
    for (method, path, body, why) in [
        (
            "PUT",
            "/v1/queues/n",
            json!({ "attempt_max": 0 }),
            "attempt_max: expected a whole number from 1 to 10000",
        ),
        ("PUT", "/v1/queues/n", json!({ "attempts": 1 }), "unknown field `attempts`"),
        ("PUT", "/v1/queues/n", json!({ "overflow": "SECRET" }), "overflow: unknown variant"),
        ("PUT", "/v1/queues/n", json!({ "backoff_jitter": 1.5 }), "jitter"),
        (
            "PUT",
            "/v1/queues/n",
            json!({ "dead_letter": "" }),
            "dead_letter: expected a text of 1 to 255 bytes",
        ),
        ("PUT", "/v1/queues/n", json!({ "dead_letter": "n" }), "its own dead-letter queue"),
        ("PUT", "/v1/queues/n", json!([]), "expected an object"),
        (
            "POST",
            "/v1/queues/q/receive",
            json!({ "count_max": 1001 }),
            "count_max: expected a whole number from 1 to 1000",
        ),
        ("POST", "/v1/queues/q/receive", json!({ "wait_ms": 30_001 }), "wait_ms: expected"),
        ("POST", "/v1/queues/q/receive", json!({ "hold_ms": -5 }), "hold_ms: expected"),
        ("POST", "/v1/queues/q/receive", json!({ "hold_ms": "SECRET" }), "hold_ms: expected"),
        ("POST", "/v1/queues/q/messages", json!({}), "payload or payload_base64"),
        ("POST", "/v1/queues/q/messages", json!({ "payload": "SECRET", "payload_base64": "" }), "both"),
        ("POST", "/v1/queues/q/messages", json!({ "payload": null }), "payload: "),
        ("POST", "/v1/queues/q/messages", json!({ "payload_base64": "SECRET!" }), "not base64"),
        ("POST", "/v1/queues/q/messages", json!({ "payload": "", "priority": 256 }), "priority: expected"),
        ("POST", "/v1/queues/q/messages", json!({ "messages": [] }), "messages: expected 1 to 1000"),
        (
            "POST",
            "/v1/queues/q/messages",
            json!({ "messages": [{ "payload": "" }, { "payload": 5 }] }),
            "messages[1].payload",
        ),
        (
            "POST",
            "/v1/queues/q/messages",
            json!({ "messages": [{ "payload": "" }], "id": "x" }),
            "unknown field `id`",
        ),
        ("POST", "/v1/queues/q/messages", json!({ "messages": [["x"]] }), "messages[0]: expected an object"),
        ("POST", "/v1/queues/q/messages", json!([{ "payload": "" }]), "expected an object"),
        (
            "POST",
            "/v1/queues/q/deliveries/1-00000000/nack",
            json!({ "reject": true, "return": true }),
            "exclude each other",
        ),
        ("POST", "/v1/queues/q/deliveries/1-00000000/extend", json!({}), "missing field `hold_ms`"),
        ("POST", "/v1/queues/q/deliveries/SECRET/ack", json!({}), "position-token"),
        ("POST", "/v1/queues/a%0Ab/receive", json!({}), "control characters"),
    ] {
        let refused = served.json(method, path, &body);
        assert_eq!(refused.status, 400, "{method} {path} {body}: {refused:?}");
        let text = refused.refusal();
        assert!(text.contains(why), "{method} {path} {body}: {text}");
        let repeats = text.contains("SECRET") && !text.contains("unknown variant");
        assert!(!repeats, "{text}");
    }
    for query in ["count_max=0", "count_max=101", "count_max=x", "count=1", "count_max=1&count_max=2"] {
        assert_eq!(served.get(&format!("/v1/queues/q/messages?{query}")).status, 400, "{query}");
    }
}

#[test]
fn a_body_that_is_not_json_is_refused() {
    let served = Served::start();
    served.queue("q");
    let publish = "/v1/queues/q/messages";
    for body in [&b"{"[..], b"not json", b"{\"payload\":\"\xff\"}", b"{\"payload\":\"x\"} trailing", b"\x00"]
    {
        let refused = served.ask("POST", publish, JSON, body);
        assert_eq!(refused.status, 400, "{body:?}");
        assert!(refused.refusal().contains("at line 1"), "{refused:?}");
    }
    assert_eq!(served.ask("POST", publish, JSON, b"").status, 400, "there must be one");
    let deep = format!("{{\"payload\":\"\",\"headers\":{}{}}}", "{\"a\":".repeat(5_000), "}".repeat(5_000));
    assert_eq!(served.ask("POST", publish, JSON, deep.as_bytes()).status, 400);
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        let refused = served.ask("POST", publish, &[("content-type", kind)], b"{\"payload\":\"x\"}");
        assert_eq!(refused.status, 415, "{kind}");
        assert!(refused.refusal().contains("application/json"));
    }
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let served = Served::start();
    served.queue("q");
    let length = (forebay_core::limits::http::BODY_BYTES_MAX + 1).to_string();
    let headers = [("content-type", "application/json"), ("content-length", length.as_str())];
    let refused = served.ask("POST", "/v1/queues/q/messages", &headers, b"");
    assert_eq!(refused.status, 413);
    refused.refusal();
}

#[test]
fn a_body_of_unknown_length_is_bounded_all_the_same() {
    let served = Served::start();
    let mut body = Vec::new();
    for _ in 0..80 {
        body.extend_from_slice(b"400\r\n");
        body.extend_from_slice(&[7; 1024]);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    let mut stream = served.connect();
    let head =
        "PUT /v1/cache/k HTTP/1.1\r\nhost: test\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    let _sent = std::io::Write::write_all(&mut stream, &body);
    assert_eq!(crate::served::Reply::read(&mut stream).status, 413);
}

#[test]
fn what_is_not_http_harms_nobody() {
    let served = Served::start();
    for noise in [&b"\x00\x01\x02\x03\r\n\r\n"[..], b"GET\r\n\r\n", b"get k\r\n", b"GET / HTTP/9.9\r\n\r\n"] {
        let mut stream = served.connect();
        std::io::Write::write_all(&mut stream, noise).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        // Whether it is told or only hung up on is hyper's choice.
        let _read = std::io::Read::read_to_end(&mut stream, &mut answer);
    }
    let long = format!("/{}", "x".repeat(100_000));
    let refused = served.get(&long).status;
    assert!((400..500).contains(&refused), "{refused}");
    assert_eq!(served.get("/health").status, 200);
}
