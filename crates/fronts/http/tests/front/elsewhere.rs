//! A broker whose administration knows little, and a shared store instead of the memory of the process.

use std::sync::Arc;
use std::sync::mpsc::channel;

use forebay_cache::near::alone::Alone;
use forebay_core::error::{Error, Kind, Result};
use forebay_core::health::{BROKER, STORE};
use forebay_core::message::MessageId;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{
    AdminCapabilities, BrokerAdmin, Found, Peeked, QueueInfo, ReplayFrom, Replayed,
};
use forebay_core::queue::QueueName;
use forebay_http::{Cached, Parts};
use forebay_memory::Memory;
use serde_json::json;

use crate::served::{Served, memory_options};
use crate::stalled::Stalled;

/// An administration that tells what is ready, and nothing else. Asked for all queues it does as `listing` says.
struct Little {
    admin: Arc<dyn BrokerAdmin>,
    listing: Listing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Listing {
    Lacking,
    /// One of the queues is damaged.
    Failing,
    /// Never done.
    Endless,
}

fn lacks<'a, T: Send + 'static>(operation: &'static str) -> BoxFuture<'a, Result<T>> {
    Box::pin(async move { Err(Error::new(Kind::Unsupported, operation, "of this broker")) })
}

impl BrokerAdmin for Little {
    fn capabilities(&self) -> AdminCapabilities {
        let list = self.listing != Listing::Lacking;
        AdminCapabilities { list, counts: false, peek: true, find: false, pause: false }
    }

    fn queues(&self) -> BoxFuture<'_, Result<Vec<QueueInfo>>> {
        match self.listing {
            Listing::Lacking => lacks("list queues"),
            Listing::Failing => {
                Box::pin(async { Err(Error::new(Kind::Damaged, "read record of queue", "q")) })
            }
            Listing::Endless => Box::pin(std::future::pending()),
        }
    }

    fn queue<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<QueueInfo>> {
        self.admin.queue(queue)
    }

    fn peek<'a>(&'a self, queue: &'a QueueName, count_max: usize) -> BoxFuture<'a, Result<Vec<Peeked>>> {
        self.admin.peek(queue, count_max)
    }

    fn purge<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<u64>> {
        self.admin.purge(queue)
    }

    fn redrive<'a>(&'a self, queue: &'a QueueName, count_max: usize) -> BoxFuture<'a, Result<u64>> {
        self.admin.redrive(queue, count_max)
    }

    fn find<'a>(&'a self, _: &'a QueueName, _: &'a MessageId) -> BoxFuture<'a, Result<Option<Found>>> {
        lacks("find message")
    }

    fn pause<'a>(&'a self, _: &'a QueueName, _: bool) -> BoxFuture<'a, Result<()>> {
        lacks("pause queue")
    }

    fn replay<'a>(
        &'a self,
        _: &'a QueueName,
        _: ReplayFrom,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<Replayed>>> {
        lacks("replay queue")
    }

    fn delete<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<()>> {
        self.admin.delete(queue)
    }
}

fn little(parts: &mut Parts) {
    listing(parts, Listing::Lacking);
    parts.log = None;
}

fn listing(parts: &mut Parts, listing: Listing) {
    parts.admin = Arc::new(Little { admin: Arc::clone(&parts.admin), listing });
}

fn shared(parts: &mut Parts) {
    let memory = Arc::new(Memory::new(memory_options(&*parts.clock)));
    let store = Arc::new(Alone::new(memory.clone(), Arc::clone(&parts.clock)));
    parts.cache = Cached::Shared { store, copies: memory };
}

#[test]
fn what_a_brokers_administration_lacks_is_said_by_name_and_never_shown_as_zero() {
    let served = Served::start_changed(little);
    served.queue("q");
    served.publish("q", &["a"]);
    let shown = served.get("/v1/queues/q").json();
    assert_eq!(shown["ready"], 1);
    for uncounted in ["held", "delayed", "published", "acked", "oldest_ms"] {
        assert!(shown.get(uncounted).is_none(), "{uncounted} in {shown}");
    }
    let refused = served.get("/v1/queues");
    assert_eq!((refused.status, refused.refusal().contains("list queues")), (501, true));
    let refused = served.ask("POST", "/v1/queues/q/pause", &[], b"");
    assert_eq!((refused.status, refused.refusal().contains("pause queue")), (501, true));
    assert_eq!(served.get("/v1/queues/q/messages").json()["messages"][0]["payload"], "a");
    assert_eq!(served.receive("q", 1)[0]["payload"], "a");

    let metrics = served.get("/metrics");
    let page = String::from_utf8(metrics.body).unwrap();
    assert_eq!(metrics.status, 200);
    assert!(!page.contains("forebay_queue_") && !page.contains("forebay_log_"), "{page}");
    assert_eq!(served.get("/health").status, 200);
}

#[test]
fn a_replay_is_a_conflict_where_another_queue_could_retain_and_not_implemented_where_none_can() {
    let retains = Served::start_changed(little);
    assert_eq!(retains.get("/v1/queues/q/replay").status, 409);
    let stalled = |real| Arc::new(Stalled { real, published: channel().0 }) as _;
    let lacking = Served::start_as(stalled, |_| {}, little);
    let refused = lacking.get("/v1/queues/q/replay");
    assert_eq!((refused.status, refused.refusal().contains("replay queue")), (501, true));
}

#[test]
fn metrics_are_shown_without_queues_that_cannot_be_listed_or_not_in_time() {
    for case in [Listing::Failing, Listing::Endless] {
        let served = Served::start_changed(|parts| listing(parts, case));
        served.queue("q");
        let metrics = served.get("/metrics");
        let page = String::from_utf8(metrics.body).unwrap();
        assert_eq!(metrics.status, 200, "{page}");
        assert!(page.contains("forebay_cache_items") && !page.contains("queue=\"q\""), "{page}");
    }
}

#[test]
fn what_is_away_is_told_and_passes() {
    let served = Served::start();
    served.health.set_away(BROKER, Some("connection refused".into()));
    served.health.set_away(STORE, Some("no answer in time".into()));
    let ill = served.get("/health");
    assert_eq!(ill.status, 503);
    assert_eq!(ill.refusal(), "the broker is away: connection refused; the store is away: no answer in time");
    assert!(ill.header("retry-after").is_some());
    let page = String::from_utf8(served.get("/metrics").body).unwrap();
    assert!(page.contains("forebay_away 2"), "{page}");
    served.health.set_away(BROKER, None);
    served.health.set_partly_away(STORE, "one of three".into());
    let well = served.get("/health");
    assert_eq!(
        (well.status, &well.json()["away"]),
        (200, &json!(["the store is partly away: one of three"]))
    );
    let page = String::from_utf8(served.get("/metrics").body).unwrap();
    assert!(page.contains("forebay_away 1"), "{page}");
    served.health.set_away(STORE, None);
    let well = served.get("/health");
    assert_eq!((well.status, well.json().get("away")), (200, None));
}

#[test]
fn a_shared_store_answers_as_the_memory_does() {
    let served = Served::start_changed(shared);
    let put = |headers: &[(&str, &str)], value: &[u8]| served.ask("PUT", "/v1/cache/k", headers, value);
    assert_eq!(served.get("/v1/cache/k").status, 404);
    assert_eq!(put(&[("if-match", "*")], b"v").status, 412);
    let written = put(&[("if-none-match", "*")], b"v");
    assert_eq!(written.status, 204);
    let tag = written.header("etag").unwrap().to_owned();
    assert_eq!(put(&[("if-none-match", "*")], b"w").status, 412);
    let read = served.get("/v1/cache/k");
    assert_eq!((read.status, read.header("etag"), &*read.body), (200, Some(&*tag), &b"v"[..]));
    let unchanged = served.ask("GET", "/v1/cache/k", &[("if-none-match", &tag)], b"");
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_eq!(put(&[("if-match", &tag)], b"w").status, 204);
    assert_eq!(put(&[("if-match", &tag)], b"x").status, 412);
    assert_eq!(served.ask("DELETE", "/v1/cache/k", &[("if-match", &tag)], b"").status, 412);
    let large = vec![b'x'; crate::served::VALUE_BYTES_MAX + 1];
    assert_eq!(put(&[], &large).status, 413);
    assert_eq!(served.get("/v1/cache/k").status, 404, "no older value is left behind");
    assert_eq!(put(&[], b"v").status, 204);
    assert_eq!(served.ask("DELETE", "/v1/cache/k", &[], b"").status, 204);
    assert_eq!(served.ask("DELETE", "/v1/cache/k", &[], b"").status, 404);
    let refused = served.get("/v1/cache/a%20b");
    assert_eq!((refused.status, refused.refusal().contains("no spaces")), (400, true));
    let page = String::from_utf8(served.get("/metrics").body).unwrap();
    assert!(page.contains("forebay_cache_shared 1"), "{page}");
}
