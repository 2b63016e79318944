//! A shared store and queues on Redis: alone, watched over by sentinels, and as a cluster.

use std::io::BufReader;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use forebay::Forebay;
use forebay_acceptance::daemon::Daemon;
use forebay_acceptance::queue::QueueClient;
use forebay_contract::servers::redis::cluster::Cluster;
use forebay_contract::servers::redis::sentinel::Watched;
use forebay_contract::servers::redis::{Keeps, Redis};
use forebay_contract::servers::{Restarts, within};
use serde_json::json;

use crate::desk::{Looks, the_queue_api_works};
use crate::journal::nothing_confirmed_is_lost_over_kill_9;
use crate::program::a_program_runs_unchanged;
use crate::{DRAIN_MAX, HOLD, NOTICE_MAX, WAIT, get, near_caches, set, set_key};

#[test]
fn programs_share_the_tags_and_locks_of_a_redis_and_are_refused_them_elsewhere() {
    let redis = Redis::start(Keeps::Everything, &[]);
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str, store: &str| {
        let builder = Forebay::builder().data(folder.path().join(name)).store(store);
        builder.unwrap().open()
    };
    let url = format!("redis://{}", redis.address);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let (here, there) = (open("here", &url).await.unwrap(), open("there", &url).await.unwrap());
        let load = |_key| async { Ok(Some("teapot".into())) };
        for key in ["product:7", "product:8"] {
            here.shared().get_or_load_tagged(key, None, &["products", key], &load).await.unwrap();
        }
        assert_eq!(there.shared().delete_tag("product:7").await.unwrap(), 1);
        assert_eq!(here.shared().get("product:7").await.unwrap(), None);
        assert!(here.shared().get("product:8").await.unwrap().is_some());
        assert_eq!(there.shared().delete_tag("products").await.unwrap(), 1);

        let lease = Duration::from_secs(60);
        let token = here.shared().try_lock("stock", lease).await.unwrap().unwrap();
        assert_eq!(there.shared().try_lock("stock", lease).await.unwrap(), None);
        assert!(here.shared().unlock("stock", token).await.unwrap());
        let next = there.shared().try_lock("stock", lease).await.unwrap().unwrap();
        assert!(next > token);
        assert!(!here.shared().unlock("stock", token).await.unwrap());

        let alone = open("alone", "memory:").await.unwrap();
        let refused = alone.shared().try_lock("stock", lease).await.unwrap_err();
        assert_eq!(refused.kind(), forebay::Kind::Unsupported);
        let refused = alone.shared().delete_tag("products").await.unwrap_err();
        assert_eq!(refused.kind(), forebay::Kind::Unsupported);
        for forebay in [here, there, alone] {
            assert!(forebay.close().await, "it closes in good order");
        }
    });
}

#[test]
fn redis_alone_behind_a_daemon_loses_nothing_and_may_be_away_when_it_starts() {
    let redis = Redis::start(Keeps::Everything, &[]);
    let url = format!("redis://{}", redis.address);
    near_caches(&url);
    a_program_runs_unchanged(&format!("[cache]\nstore = \"{url}\"\n[queue]\nbroker = \"{url}\"\n"));

    let data = tempfile::tempdir().unwrap();
    let directory = data.path().join("data");
    let mut daemon = Daemon::start_with(&directory, &["--store", &url, "--broker", &url]);
    nothing_confirmed_is_lost_over_kill_9(&mut daemon);
    the_queue_api_works(&daemon, Looks { peek: true, find: true, replay: false });
    let queue = QueueClient::new(daemon.http, "orders");
    assert_eq!(queue.publish(&[json!({ "payload": "last", "id": "last" })]), Some(201));

    redis.kill();
    daemon.kill();
    daemon.restart();
    within(NOTICE_MAX, "health says what is away", || {
        let (status, why) = get(daemon.http, "/health");
        status == 503 && why.contains("the store is away") && why.contains("the broker is away")
    });
    let mut memcached = BufReader::new(TcpStream::connect(daemon.memcached).unwrap());
    let refused = set(&mut memcached);
    assert!(refused.starts_with("SERVER_ERROR"), "{refused}");
    let begun = Instant::now();
    assert_eq!(queue.publish(&[json!({ "payload": "never" })]), Some(503));
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());

    redis.start_again();
    within(NOTICE_MAX, "health says that all is back", || get(daemon.http, "/health").0 == 200);
    assert_eq!(set(&mut memcached), "STORED\r\n", "on the connection that was refused before");
    let mut found = false;
    within(DRAIN_MAX, "what was confirmed before is there", || {
        found |= queue.receive(1, WAIT, HOLD).unwrap_or_default().iter().any(|one| one["id"] == "last");
        found
    });
    assert!(!daemon.panicked());
    assert!(daemon.stop(), "the daemon stops cleanly");
}

#[test]
fn a_fail_over_behind_a_daemon_loses_nothing_and_is_followed() {
    let watched = Watched::start();
    let (store, broker) = (watched.url(""), watched.url("replicas=1&durable=always"));
    near_caches(&store);
    a_program_runs_unchanged(&format!("[cache]\nstore = \"{store}\"\n[queue]\nbroker = \"{broker}\"\n"));

    let data = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start_with(data.path(), &["--store", &store, "--broker", &broker]);
    nothing_confirmed_is_lost_over_kill_9(&mut daemon);
    let queue = QueueClient::new(daemon.http, "orders");
    assert_eq!(queue.publish(&[json!({ "payload": "last", "id": "last" })]), Some(201));
    let mut memcached = BufReader::new(TcpStream::connect(daemon.memcached).unwrap());
    assert_eq!(set(&mut memcached), "STORED\r\n");

    watched.nodes[0].redis.kill();
    watched.await_promoted(1);
    within(NOTICE_MAX, "the store is the new master", || set(&mut memcached) == "STORED\r\n");
    within(NOTICE_MAX, "health says that all is back", || get(daemon.http, "/health").0 == 200);
    let mut found = false;
    within(DRAIN_MAX, "what was confirmed before is there", || {
        found |= queue.receive(1, WAIT, HOLD).unwrap_or_default().iter().any(|one| one["id"] == "last");
        found
    });
    // Nobody has it but the new master: it is not confirmed, until the former one is its replica.
    assert_eq!(queue.publish(&[json!({ "payload": "more", "id": "more" })]), Some(503));
    watched.nodes[0].redis.start_again();
    watched.await_demoted(0);
    within(NOTICE_MAX, "publishes are confirmed", || {
        queue.publish(&[json!({ "payload": "more", "id": "more" })]) == Some(201)
    });
    assert!(!daemon.panicked());
    assert!(daemon.stop(), "the daemon stops cleanly");
}

#[test]
fn a_cluster_behind_a_daemon_loses_nothing_while_its_masters_are_killed() {
    let cluster = Cluster::start();
    let url = format!("redis-cluster://{}", cluster.addresses());
    near_caches(&url);
    a_program_runs_unchanged(&format!("[cache]\nstore = \"{url}\"\n[queue]\nbroker = \"{url}\"\n"));

    let data = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start_with(data.path(), &["--store", &url, "--broker", &url]);
    nothing_confirmed_is_lost_over_kill_9(&mut daemon);
    let queue = QueueClient::new(daemon.http, "orders");
    assert_eq!(queue.publish(&[json!({ "payload": "last", "id": "last" })]), Some(201));
    for master in &cluster.masters {
        master.kill();
        master.start_again();
    }
    cluster.await_ok();
    let mut memcached = BufReader::new(TcpStream::connect(daemon.memcached).unwrap());
    within(NOTICE_MAX, "all masters are used", || {
        (0..60).all(|key| set_key(&mut memcached, &format!("key{key}")) == "STORED\r\n")
    });
    within(NOTICE_MAX, "health says that all is well", || get(daemon.http, "/health").0 == 200);
    let mut found = false;
    within(DRAIN_MAX, "what was confirmed before is there", || {
        found |= queue.receive(1, WAIT, HOLD).unwrap_or_default().iter().any(|one| one["id"] == "last");
        found
    });
    assert!(!daemon.panicked());
    assert!(daemon.stop(), "the daemon stops cleanly");
}
