//! The daemon before other systems, named by URL: a near cache of a shared store, and its queues on a broker.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use forebay::{Failure, Forebay, Received, WorkerOptions};
use forebay_acceptance::daemon::Daemon;
use forebay_acceptance::programs::{python, session};
use forebay_acceptance::queue::QueueClient;
use forebay_contract::servers::kafka::Kafka;
use forebay_contract::servers::memcached::Memcached;
use forebay_contract::servers::moto::Moto;
use forebay_contract::servers::rabbitmq::RabbitMq;
use forebay_contract::servers::redis::{Keeps, Redis};
use forebay_contract::servers::{Pauses, Restarts, within};
use serde_json::{Value, json};

/// How long it may take until nothing confirmed is left, holds of a killed daemon included.
const DRAIN_MAX: Duration = Duration::from_secs(60);
/// How long a daemon may take to see that something is away, or back.
const NOTICE_MAX: Duration = Duration::from_secs(40);
const WAIT: Duration = Duration::from_millis(200);
const HOLD: Duration = Duration::from_secs(3);
/// Messages that are confirmed before the daemon is killed, and after it.
const ENOUGH: usize = 200;
/// Keys of which every one of a few nodes has some.
const KEYS: usize = 60;

fn near_caches(store: &str) {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let here = Daemon::start_with(one.path(), &["--store", store]);
    let there = Daemon::start_with(other.path(), &["--store", store]);
    session(
        python("memcached/pymemcache_near.py")
            .args([here.memcached.to_string(), there.memcached.to_string()]),
    );
    assert!(!here.panicked() && !there.panicked());
    assert!(here.stop() && there.stop(), "the daemons stop cleanly");
}

/// What the clients know, apart from the daemon.
#[derive(Default)]
struct Journal {
    confirmed: BTreeSet<String>,
    worked: BTreeSet<String>,
}

fn publish(stop: &AtomicBool, queue: &QueueClient, numbers: &AtomicU64, journal: &Mutex<Journal>) {
    while !stop.load(Relaxed) {
        let names: Vec<String> = (0..5).map(|_| format!("m{}", numbers.fetch_add(1, Relaxed))).collect();
        let messages: Vec<Value> = names.iter().map(|name| json!({ "payload": name, "id": name })).collect();
        match queue.publish(&messages) {
            Some(201) => journal.lock().unwrap().confirmed.extend(names),
            Some(status) => assert!(matches!(status, 429 | 503), "{status}"),
            None => thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn work(stop: &AtomicBool, queue: &QueueClient, journal: &Mutex<Journal>) {
    while !stop.load(Relaxed) {
        let Some(deliveries) = queue.receive(10, WAIT, HOLD) else {
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        for delivery in deliveries {
            let name = delivery["payload"].as_str().unwrap().to_owned();
            // Without an answer it is acknowledged or comes again: at least once allows both. It was handed out, and is not lost.
            let refused = queue.settle(&delivery, "ack", &json!({})).is_some_and(|(status, _)| status == 409);
            if !refused {
                journal.lock().unwrap().worked.insert(name);
            }
        }
    }
}

/// Publishes and works while the daemon is killed, and then until everything that was confirmed is done.
fn nothing_confirmed_is_lost_over_kill_9(daemon: &mut Daemon) {
    let queue = QueueClient::new(daemon.http, "orders");
    queue.declare(&json!({ "hold_ms": 3_000, "backoff_first_ms": 10, "attempt_max": 100 }));
    let (journal, numbers) = (Mutex::new(Journal::default()), AtomicU64::new(0));
    let (published, worked) = (AtomicBool::new(false), AtomicBool::new(false));
    let confirmed = || journal.lock().unwrap().confirmed.len();
    thread::scope(|threads| {
        let stops = StopAll([&published, &worked]);
        for _ in 0..2 {
            threads.spawn(|| publish(&published, &queue, &numbers, &journal));
            threads.spawn(|| work(&worked, &queue, &journal));
        }
        within(DRAIN_MAX, "messages are confirmed", || confirmed() >= ENOUGH);
        daemon.kill();
        let before = confirmed();
        daemon.restart();
        within(DRAIN_MAX, "messages are confirmed after the kill", || confirmed() >= before + ENOUGH);
        published.store(true, Relaxed);
        within(DRAIN_MAX, "everything confirmed is done", || {
            let journal = journal.lock().unwrap();
            journal.confirmed.is_subset(&journal.worked)
        });
        drop(stops);
    });
}

/// Ends the threads of a test that fails, so that it ends too.
struct StopAll<'a>([&'a AtomicBool; 2]);

impl Drop for StopAll<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|stop| stop.store(true, Relaxed));
    }
}

/// A program that knows nothing of where its cache and its queues are but a file.
fn a_program_runs_unchanged(settings: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("forebay.toml");
    std::fs::write(&file, settings).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let forebay = Forebay::connect(&file).await.unwrap();
        let cache = forebay.shared();
        let load = |_key| async { Ok(Some("teapot".into())) };
        for _ in 0..2 {
            let product = cache.get_or_load("product:7", None, &load).await.unwrap();
            assert_eq!(product.as_deref(), Some(&b"teapot"[..]));
        }
        let none = |_key| async { Ok(None) };
        assert_eq!(cache.get_or_load("product:8", None, &none).await.unwrap(), None);
        assert!(cache.add("product:8", "kettle", None).await.unwrap());
        let (_, version) = cache.get_versioned("product:8").await.unwrap().unwrap();
        cache.set("product:8", "mug").await.unwrap();
        assert!(!cache.replace_version("product:8", "late", version, None).await.unwrap());
        assert_eq!(cache.incr("visits", 2).await.unwrap(), 2);
        assert_eq!(cache.incr("visits", 3).await.unwrap(), 5);
        cache.delete("product:7").await.unwrap();
        let many = cache.get_many(&["product:7", "product:8"]).await.unwrap();
        assert_eq!((many[0].as_deref(), many[1].as_deref()), (None, Some(&b"mug"[..])));

        let queue = forebay.queue("library").await.unwrap().typed::<u32>();
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let worker = queue.worker(WorkerOptions::default(), move |received: Received<u32>| {
            let tell = tell.clone();
            async move {
                // Each number fails once.
                match received.attempt {
                    1 => Err(Failure::from("again")),
                    _ => Ok(tell.send(*received.value())?),
                }
            }
        });
        let worker = worker.unwrap();
        queue.publish_all(0..20).await.unwrap();
        let mut done = BTreeSet::new();
        while done.len() < 20 {
            let number = tokio::time::timeout(DRAIN_MAX, told.recv()).await.expect("the worker works");
            done.insert(number.unwrap());
        }
        worker.stop().await;
        assert!(forebay.close().await, "it closes in good order");
    });
}

fn get(http: SocketAddr, path: &str) -> (u16, String) {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let mut response = agent.get(format!("http://{http}{path}")).call().expect("the daemon answers");
    (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
}

/// Sets a key and returns the line that is answered.
fn set(connection: &mut BufReader<TcpStream>) -> String {
    set_key(connection, "key")
}

fn set_key(connection: &mut BufReader<TcpStream>, key: &str) -> String {
    connection.get_ref().set_read_timeout(Some(DRAIN_MAX)).unwrap();
    connection.get_mut().write_all(format!("set {key} 0 0 1\r\nx\r\n").as_bytes()).unwrap();
    let mut line = String::new();
    connection.read_line(&mut line).unwrap();
    line
}

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
fn a_program_runs_on_sqs() {
    let moto = Moto::start();
    let url =
        format!("sqs://key:secret@eu-central-1/123456789012?endpoint=http://{}&prefix=shop-", moto.address);
    a_program_runs_unchanged(&format!("[queue]\nbroker = \"{url}\"\n"));
}

#[test]
fn kafka_behind_a_daemon_loses_nothing_when_its_consumer_is_killed() {
    let Some(kafka) = Kafka::start() else { return };
    let url = format!("{}?session_ms=2000", kafka.url());
    a_program_runs_unchanged(&format!("[queue]\nbroker = \"{url}\"\n"));
    let data = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start_with(data.path(), &["--broker", &url]);
    // Its member of the group is killed with it, and what it held goes to the next one.
    nothing_confirmed_is_lost_over_kill_9(&mut daemon);
    assert!(!daemon.panicked());
    assert!(daemon.stop(), "the daemon stops cleanly");
}

#[test]
fn a_program_runs_on_the_engine_of_its_own_process() {
    let data = tempfile::tempdir().unwrap();
    let queues = data.path().join("queues");
    a_program_runs_unchanged(&format!("[queue]\nbroker = \"file:{}\"\n", queues.display()));
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
