//! Values over HTTP, with their versions.

use crate::served::{Served, VALUE_BYTES_MAX};

#[test]
fn a_value_comes_back_with_its_version_and_asks_to_be_asked_again() {
    let served = Served::start();
    let value = [0_u8, 255, 13, 10, 7];
    let put = served.ask("PUT", "/v1/cache/k", &[], &value);
    assert_eq!((put.status, put.body.len()), (204, 0));
    let got = served.get("/v1/cache/k");
    assert_eq!((got.status, got.body.as_slice()), (200, &value[..]));
    assert_eq!(got.header("etag"), put.header("etag"));
    assert_eq!(got.header("cache-control"), Some("no-cache"));
    assert_eq!(got.header("content-type"), Some("application/octet-stream"));
    let tag = got.header("etag").unwrap();
    let again = served.ask("GET", "/v1/cache/k", &[("if-none-match", tag)], b"");
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(tag)));
    let head = served.ask("HEAD", "/v1/cache/k", &[], b"");
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (200, 0, Some("5")));
    served.ask("PUT", "/v1/cache/k", &[], b"newer");
    assert_eq!(served.ask("GET", "/v1/cache/k", &[("if-none-match", tag)], b"").body, b"newer");
}

#[test]
fn a_key_with_slashes_or_in_any_script_is_one_key() {
    let served = Served::start();
    for key in ["a%2Fb%2Fc", "%E9%94%AE", "user%3A42", "%25%3F%23", "a+b%20c"] {
        let path = format!("/v1/cache/{key}");
        assert_eq!(served.ask("PUT", &path, &[], key.as_bytes()).status, 204, "{key}");
        assert_eq!(served.get(&path).body, key.as_bytes(), "{key}");
    }
    assert_eq!(served.get("/v1/cache").json()["items"], 5);
}

#[test]
fn a_key_at_its_limit_is_taken_and_beyond_it_refused() {
    let served = Served::start();
    let put = |key: &str| served.ask("PUT", &format!("/v1/cache/{key}"), &[], b"v");
    assert_eq!(put(&"k".repeat(250)).status, 204);
    for (key, why) in [
        ("k".repeat(251), "1 to 250"),
        ("%C3%A4".repeat(126), "1 to 250"),
        ("a%0Ab".into(), "control"),
        ("%FF".into(), "UTF-8"),
    ] {
        let refused = put(&key);
        assert_eq!(refused.status, 400, "{key}");
        assert!(refused.refusal().contains(why), "{refused:?}");
    }
}

#[test]
fn conditions_hold_or_change_nothing() {
    let served = Served::start();
    let put = |condition: (&str, &str), value: &[u8]| served.ask("PUT", "/v1/cache/k", &[condition], value);
    assert_eq!(put(("if-match", "*"), b"0").status, 412, "there is none yet");
    assert_eq!(put(("if-match", "\"7\""), b"0").status, 412);
    let first = put(("if-none-match", "*"), b"1");
    assert_eq!(first.status, 204);
    assert_eq!(put(("if-none-match", "*"), b"2").status, 412, "there is one now");
    let tag = first.header("etag").unwrap().to_owned();
    let second = put(("if-match", &tag), b"3");
    assert_eq!(second.status, 204);
    let refused = put(("if-match", &tag), b"4");
    assert_eq!(refused.status, 412, "the version has moved on");
    refused.refusal();
    assert_eq!(served.ask("DELETE", "/v1/cache/k", &[("if-match", &tag)], b"").status, 412);
    assert_eq!(served.get("/v1/cache/k").body, b"3");
    let tag = second.header("etag").unwrap().to_owned();
    assert_eq!(served.ask("DELETE", "/v1/cache/k", &[("if-match", &tag)], b"").status, 204);
    let gone = served.ask("DELETE", "/v1/cache/k", &[], b"");
    assert_eq!(gone.status, 404);
    gone.refusal();
    assert_eq!(served.get("/v1/cache/k").status, 404);
}

#[test]
fn a_life_that_is_over_is_a_miss() {
    let served = Served::start();
    assert_eq!(served.ask("PUT", "/v1/cache/k?ttl_ms=1", &[], b"v").status, 204);
    while served.get("/v1/cache/k").status != 404 {}
    assert_eq!(served.ask("PUT", "/v1/cache/k?ttl_ms=3600000", &[], b"v").status, 204);
    assert_eq!(served.get("/v1/cache/k").status, 200);
    for query in
        ["ttl_ms=0", "ttl_ms=-1", "ttl_ms=1.5", "ttl_ms=", "ttl_ms=soon", "ttl_ms=99999999999999999999"]
    {
        let refused = served.ask("PUT", &format!("/v1/cache/k?{query}"), &[], b"v");
        assert_eq!(refused.status, 400, "{query}");
        assert!(
            refused.refusal().starts_with("read query: ttl_ms: expected a whole number from 1"),
            "{refused:?}"
        );
    }
    let refused = served.ask("PUT", "/v1/cache/k?ttl=5", &[], b"v");
    assert!(refused.refusal().contains("unknown field `ttl`"), "{refused:?}");
}

#[test]
fn a_value_refused_for_its_size_leaves_no_older_one_behind() {
    let served = Served::start();
    let put = |bytes: usize| served.ask("PUT", "/v1/cache/k", &[], &vec![7; bytes]);
    assert_eq!(put(1).status, 204);
    let refused = put(VALUE_BYTES_MAX + 1);
    assert_eq!(refused.status, 413);
    refused.refusal();
    assert_eq!(
        served.get("/v1/cache/k").status,
        404,
        "whoever ignores the refusal does not read the old value"
    );
}

#[test]
fn a_value_refused_for_its_size_changes_nothing_under_a_condition() {
    let served = Served::start();
    let too_large = vec![7; VALUE_BYTES_MAX + 1];
    let put = |condition: (&str, &str)| served.ask("PUT", "/v1/cache/k", &[condition], &too_large).status;
    for (condition, status) in
        [(("if-none-match", "*"), 413), (("if-match", "*"), 412), (("if-match", "\"7\""), 412)]
    {
        assert_eq!(put(condition), status, "{condition:?} where there is none");
    }
    let first = served.ask("PUT", "/v1/cache/k", &[], b"kept");
    let tag = first.header("etag").unwrap();
    for (condition, status) in [
        (("if-none-match", "*"), 412),
        (("if-match", "*"), 413),
        (("if-match", "\"7\""), 412),
        (("if-match", tag), 413),
    ] {
        assert_eq!(put(condition), status, "{condition:?} where there is one");
        let got = served.get("/v1/cache/k");
        assert_eq!((got.body.as_slice(), got.header("etag")), (&b"kept"[..], Some(tag)), "{condition:?}");
    }
}

#[test]
fn what_is_counted_is_shown() {
    let served = Served::start();
    served.ask("PUT", "/v1/cache/k", &[], b"v");
    served.get("/v1/cache/k");
    served.get("/v1/cache/absent");
    let stats = served.get("/v1/cache").json();
    for (field, expected) in [("items", 1), ("hits", 1), ("misses", 1), ("writes", 1), ("evicted", 0)] {
        assert_eq!(stats[field], expected, "{field}");
    }
    assert!(stats["bytes"].as_u64() <= stats["bytes_max"].as_u64());
}

#[test]
fn the_state_shows_sizes_and_what_is_read_most() {
    let served = Served::start();
    served.ask("PUT", "/v1/cache/hot", &[], &[7; 100]);
    served.ask("PUT", "/v1/cache/cold", &[], &[7; 1_000]);
    served.ask("PUT", "/v1/cache/cold", &[], &[7; 2_000]);
    for _ in 0..50 {
        served.get("/v1/cache/hot");
    }
    served.get("/v1/cache/cold");
    served.ask("DELETE", "/v1/cache/cold", &[], &[]);
    let state = served.get("/v1/cache").json();
    assert_eq!(state["classes"], serde_json::json!([{ "bytes_max": 128, "items": 1, "bytes": 103 }]));
    assert_eq!((state["top"][0]["key"].as_str(), state["replaced"].as_u64()), (Some("hot"), Some(1)));
    assert_eq!((state["removed"].as_u64(), state["evicted_by_resize"].as_u64()), (Some(1), Some(0)));
    let metrics = String::from_utf8(served.get("/metrics").body).unwrap();
    assert!(metrics.contains("forebay_cache_class_items{bytes_max=\"128\"} 1"), "{metrics}");
    assert!(!metrics.contains("hot"), "keys are no labels");
}
