//! A shared store on memcached, with RabbitMQ beside it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Instant;

use forebay::Forebay;
use forebay_acceptance::daemon::Daemon;
use forebay_contract::servers::memcached::Memcached;
use forebay_contract::servers::rabbitmq::RabbitMq;
use forebay_contract::servers::{Pauses, within};
use serde_json::Value;

use crate::desk::{Looks, the_queue_api_works};
use crate::journal::nothing_confirmed_is_lost_over_kill_9;
use crate::program::a_program_runs_unchanged;
use crate::{DRAIN_MAX, NOTICE_MAX, get, near_caches, set_key};

/// Keys of which every one of a few nodes has some.
const KEYS: usize = 60;

#[test]
fn memcached_and_rabbitmq_behind_a_daemon_lose_nothing_and_serve_nothing_older_than_a_second() {
    let nodes = [Memcached::start(), Memcached::start(), Memcached::start()];
    let rabbitmq = RabbitMq::start();
    let hosts: Vec<_> = nodes.iter().map(|node| node.address.to_string()).collect();
    let store = format!("memcached://{}", hosts.join(","));
    near_caches(&store);
    let broker = rabbitmq.url();
    a_program_runs_unchanged(&format!("[cache]\nstore = \"{store}\"\n[queue]\nbroker = \"{broker}\"\n"));

    let data = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start_with(data.path(), &["--store", &store, "--broker", &rabbitmq.url()]);
    nothing_confirmed_is_lost_over_kill_9(&mut daemon);
    the_queue_api_works(&daemon, Looks { peek: true, find: false, replay: false });
    let (status, metrics) = get(daemon.http, "/metrics");
    assert_eq!(status, 200);
    assert!(metrics.contains("forebay_cache_shared 1") && metrics.contains("forebay_away 0"), "{metrics}");
    let (status, refused) = get(daemon.http, "/v1/queues");
    assert_eq!(status, 501, "AMQP cannot list queues: {refused}");
    let (_, queue) = get(daemon.http, "/v1/queues/orders");
    let queue: Value = serde_json::from_str(&queue).unwrap();
    assert!(queue["ready"].is_u64() && queue.get("held").is_none(), "{queue}");

    // One node of three: what lies on the others is served, so this daemon is well.
    nodes[1].kill();
    within(NOTICE_MAX, "health says that a node is away", || {
        let (status, told) = get(daemon.http, "/health");
        assert_eq!(status, 200, "{told}");
        told.contains("the store is partly away")
    });
    nodes[1].start_again();
    within(NOTICE_MAX, "health says that it is back", || !get(daemon.http, "/health").1.contains("away"));
    assert!(!daemon.panicked());
    // There is nobody to say goodbye to, and nothing that a next start would have to recover.
    rabbitmq.pause();
    assert!(daemon.stop(), "the daemon stops cleanly");
}

/// Whether a node has some of the keys that were written through `set`.
fn has_keys(node: &Memcached) -> bool {
    let mut connection = TcpStream::connect(node.address).unwrap();
    connection.set_read_timeout(Some(DRAIN_MAX)).unwrap();
    let keys: Vec<_> = (0..KEYS).map(|key| format!("key{key}")).collect();
    connection.write_all(format!("get {}\r\n", keys.join(" ")).as_bytes()).unwrap();
    let lines = BufReader::new(connection).lines().map(|line| line.unwrap());
    lines.take_while(|line| line != "END").count() > 0
}

#[test]
fn memcached_nodes_come_and_go_while_a_daemon_and_a_program_run() {
    let nodes = [Memcached::start(), Memcached::start(), Memcached::start()];
    let url = |nodes: &[&Memcached]| {
        let hosts: Vec<_> = nodes.iter().map(|node| node.address.to_string()).collect();
        format!("memcached://{}", hosts.join(","))
    };
    let [one, two, three] = &nodes;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("forebay.toml");
    let write = |url: &str| std::fs::write(&file, format!("[cache]\nstore = \"{url}\"\n")).unwrap();
    write(&url(&[one]));
    let data = folder.path().join("data");
    let daemon = Daemon::start_with(&data, &["--config", file.to_str().unwrap()]);
    let set_all = || {
        let mut connection = BufReader::new(TcpStream::connect(daemon.memcached).unwrap());
        for key in 0..KEYS {
            assert_eq!(set_key(&mut connection, &format!("key{key}")), "STORED\r\n");
        }
    };
    set_all();
    assert!(has_keys(one) && !has_keys(two));
    write(&url(&[one, two]));
    daemon.hang_up();
    within(NOTICE_MAX, "the daemon uses the node that has come", || {
        set_all();
        has_keys(two)
    });
    // What differs in anything else changes nothing, nor does a file that cannot be read.
    for refused in [format!("{}?failover=next", url(&[one, two, three])), "etcd://host".into()] {
        write(&refused);
        daemon.hang_up();
        set_all();
    }
    // It does so in turn: once this took effect, those before did not.
    write(&url(&[two]));
    daemon.hang_up();
    one.kill();
    within(NOTICE_MAX, "the daemon does without the node that has gone", || {
        let mut connection = BufReader::new(TcpStream::connect(daemon.memcached).unwrap());
        (0..KEYS).all(|key| set_key(&mut connection, &format!("key{key}")) == "STORED\r\n")
    });
    assert!(!has_keys(three));
    assert!(!daemon.panicked());
    assert!(daemon.stop(), "the daemon stops cleanly");

    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let builder = Forebay::builder().data(folder.path().join("program")).store(&url(&[two])).unwrap();
        let forebay = builder.open().await.unwrap();
        forebay.set_store_nodes(&url(&[two, three])).unwrap();
        // What is written in its first second may be gone with what it had before.
        let begun = Instant::now();
        while !has_keys(three) {
            assert!(begun.elapsed() < NOTICE_MAX, "the program does not use the node that has come");
            for key in 0..KEYS {
                forebay.shared().set(format!("key{key}"), "x").await.unwrap();
            }
        }
        let refused = forebay.set_store_nodes("memory:").unwrap_err();
        assert_eq!(refused.kind(), forebay::Kind::Unsupported);
        assert!(forebay.close().await, "it closes in good order");
    });
}
