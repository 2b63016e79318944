//! Health, metrics and the document.

use std::collections::BTreeMap;

use forebay_core::pressure::{PressureStats, Rung};
use serde_json::{Value, json};

use crate::served::Served;

#[test]
fn health_is_ok_until_a_part_dies_and_then_names_it() {
    let served = Served::start();
    let well = served.get("/health");
    assert_eq!((well.status, well.json()), (200, json!({ "status": "ok", "memory": "calm" })));
    served.health.fail("commit log has panicked");
    let ill = served.get("/health");
    assert_eq!(ill.status, 503);
    assert_eq!(ill.refusal(), "commit log has panicked");
}

#[test]
fn memory_pressure_is_shown_and_refused_publishes_are_an_alarm_for_now() {
    let served = Served::start();
    let tell = |rung| served.pressure.tell(PressureStats { rung, total_max: 7, ..PressureStats::default() });
    tell(Rung::CacheShrunk);
    let well = served.get("/health");
    assert_eq!((well.status, well.json()["memory"].clone()), (200, json!("cache-shrunk")));
    let samples = samples(&String::from_utf8(served.get("/metrics").body).unwrap());
    assert_eq!(samples["forebay_memory_rung{rung=\"cache-shrunk\"}"], 1.0);
    assert_eq!(samples["forebay_memory_rung{rung=\"calm\"}"], 0.0);
    assert_eq!(samples["forebay_memory_budget_bytes"], 7.0);
    tell(Rung::PublishesRefused);
    let ill = served.get("/health");
    assert_eq!(ill.status, 503);
    assert!(ill.refusal().contains("queues have used up their memory"), "{}", ill.refusal());
    assert!(ill.header("retry-after").is_some(), "it passes");
}

/// The samples of a metrics page, after checking that every line is one, that its family is declared before it, and
/// that counters are named as counters.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let mut kinds = BTreeMap::new();
    let mut samples = BTreeMap::new();
    assert!(page.ends_with("# EOF\n"));
    for line in page.lines().filter(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is declared once");
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let family = name.split('{').next().unwrap();
            let base = family.strip_suffix("_total").or(family.strip_suffix("_info")).unwrap_or(family);
            let kind = kinds.get(base).unwrap_or_else(|| panic!("{family} is declared"));
            assert_eq!(kind == "counter", family.ends_with("_total"), "{family}");
            assert!(family.starts_with("forebay_"), "{family}");
            assert!(samples.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{name} stands once");
        }
    }
    samples
}

#[test]
fn metrics_tell_what_happened() {
    let served = Served::start();
    served.queue("q");
    served.publish("q", &["a", "b", "c"]);
    let delivery = served.receive("q", 1).remove(0);
    let ack = format!("/v1/queues/q/deliveries/{}/ack", delivery["delivery"].as_str().unwrap());
    assert_eq!(served.ask("POST", &ack, &[], b"").status, 204);
    served.ask("PUT", "/v1/cache/k", &[], b"v");
    served.get("/v1/cache/k");
    let reply = served.get("/metrics");
    assert!(reply.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let samples = samples(&String::from_utf8(reply.body).unwrap());
    for (name, expected) in [
        ("forebay_queue_published_total{queue=\"q\"}", 3.0),
        ("forebay_queue_delivered_total{queue=\"q\"}", 1.0),
        ("forebay_queue_acked_total{queue=\"q\"}", 1.0),
        ("forebay_queue_ready{queue=\"q\"}", 2.0),
        ("forebay_cache_hits_total", 1.0),
        ("forebay_cache_items", 1.0),
        ("forebay_log_poisoned", 0.0),
        ("forebay_failures", 0.0),
        ("forebay_build_info{version=\"0.0.0\"}", 1.0),
    ] {
        assert_eq!(samples.get(name), Some(&expected), "{name}");
    }
    assert!(samples["forebay_connections{front=\"http\"}"] >= 1.0);
    assert!(samples["forebay_log_syncs_total"] >= 2.0);
    assert!(samples["forebay_start_time_seconds"] > 1.7e9);
}

#[test]
fn a_queue_named_to_break_the_page_does_not() {
    let served = Served::start();
    assert_eq!(served.ask("PUT", "/v1/queues/%22%7D%20%5C%20x%7B", &[], b"").status, 201);
    let page = String::from_utf8(served.get("/metrics").body).unwrap();
    assert!(page.contains(r#"forebay_queue_ready{queue="\"} \\ x{"} 0"#), "{page}");
}

#[test]
fn the_document_is_served_and_names_this_version() {
    let served = Served::start();
    let reply = served.get("/openapi.json");
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    let document: Value = reply.json();
    assert_eq!(document["info"]["version"], "0.0.0");
    assert_eq!(document["openapi"], "3.1.0");
}
