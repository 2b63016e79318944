//! What goes wrong with a server under load: nothing that was confirmed is lost, and nobody goes deaf.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use forebay_core::entry::{Mode, Version};
use forebay_core::error::Kind;
use forebay_core::message::{Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::ports::broker::{Broker, Receive};
use forebay_core::ports::clock::Clock;
use forebay_core::ports::remote_store::{Changed, Put, RemoteStore};
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_redis::broker;
use forebay_redis::settings::Settings;
use forebay_redis::store;

use parking_lot::Mutex;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use forebay_contract::outage::away::Publisher;
use forebay_contract::outage::faults::Fault;
use forebay_contract::outage::{Bounds, Outage};
use forebay_contract::servers::redis::{Keeps, Redis};
use forebay_contract::servers::wire::{Does, Wire};
use forebay_contract::servers::{Pauses, Restarts, within};

use crate::ground::Ground;

/// How long a consumer may hear nothing after all is well again.
pub(crate) const DEAF_MAX: Duration = Duration::from_secs(60);
pub(crate) const TIMEOUT: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(2);
/// What a call may be late by on a busy machine.
pub(crate) const LATE: Duration = Duration::from_secs(2);

fn name(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

fn message(id: &str) -> Message {
    Message::new(MessageId::given(id).unwrap(), Payload::from(id))
}

/// What is stated of calls under load.
pub(crate) const BOUNDS: Bounds = Bounds {
    wait: PATIENCE,
    slack: Duration::from_millis(TIMEOUT.as_millis() as u64 + LATE.as_millis() as u64),
    consumers: 4,
    well: 60,
    pace: Duration::from_millis(2),
};

fn url(address: SocketAddr) -> String {
    let (timeout, patience) = (TIMEOUT.as_millis(), PATIENCE.as_millis());
    format!("redis://{address}?durable=always&timeout_ms={timeout}&patience_ms={patience}")
}

/// An address from which each connection leads to where the door led when it was made.
struct Door {
    address: SocketAddr,
    leads_to: Arc<Mutex<SocketAddr>>,
}

impl Door {
    fn to(ground: &Ground, first: SocketAddr) -> Self {
        let leads_to = Arc::new(Mutex::new(first));
        let listener = ground.run(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let there = leads_to.clone();
        ground.handle().spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let there = *there.lock();
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(there).await?;
                    copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        Self { address, leads_to }
    }
}

/// Queues whose holds run out soon.
pub(crate) fn queues() -> Vec<QueueSettings> {
    let held = |settings| QueueSettings { hold: Duration::from_secs(2), ..settings };
    Outage::queues().into_iter().map(held).collect()
}

/// Loads a server over a wire, does something to either, and looks whether all is well afterwards.
fn survives(fault: &Fault<Redis>) {
    let (redis, ground) = (Redis::start(Keeps::Everything, &[]), Ground::new());
    let wire = Wire::to(redis.address);
    let broker = ground.broker(&url(wire.address));
    let mut load = Outage::begin(ground.handle(), broker.clone(), ground.clock.clone(), BOUNDS, queues());
    load.suffers(fault, "Redis", &redis, &wire);
    broker.close();
}

forebay_contract::outage! { survives:
    a_restart_loses_nothing_and_leaves_nobody_deaf
    a_kill_loses_nothing_and_leaves_nobody_deaf
    a_server_that_stands_still_loses_nothing_and_leaves_nobody_deaf
    a_wire_that_is_cut_again_and_again_loses_nothing_and_leaves_nobody_deaf
    answers_that_are_lost_cost_no_message_and_leave_nobody_deaf
    a_wire_that_carries_nothing_loses_nothing_and_leaves_nobody_deaf
}

#[test]
fn what_was_handed_out_by_an_answer_that_was_lost_comes_back_without_waiting_for_its_hold() {
    let (redis, ground) = (Redis::start(Keeps::Everything, &[]), Ground::new());
    let wire = Wire::to(redis.address);
    let broker = ground.broker(&format!("redis://{}?patience_ms=10000&timeout_ms=500", wire.address));
    let mut settings = QueueSettings::new(name("q"));
    settings.hold = Duration::from_secs(3_600);
    ground.run(broker.ensure(&settings)).unwrap();
    let asked = Receive { count_max: 1, hold: None, wait_until: ground.clock.now() };
    // The server knows the script now, and carries it out before it says anything.
    assert!(ground.run(broker.receive(&settings.name, asked)).unwrap().is_empty());
    ground.run(broker.publish(&settings.name, vec![message("m")])).unwrap();
    wire.set(Does::Swallow);
    let begun = ground.handle().spawn({
        let (broker, queue) = (broker.clone(), settings.name.clone());
        async move { broker.receive(&queue, asked).await.map(|deliveries| deliveries.len()) }
    });
    within(DEAF_MAX, "the server has handed it out", || redis.cli(&["ZCARD", "{forebay}:holds"]) == "1");
    wire.cut(Does::Pass);
    let _ = ground.run(begun).unwrap();
    let asked =
        Receive { count_max: 1, hold: None, wait_until: ground.clock.now() + Duration::from_secs(30) };
    let deliveries = ground.run(broker.receive(&settings.name, asked)).unwrap();
    assert_eq!(deliveries.len(), 1, "it is held by nobody");
    assert_eq!(deliveries[0].attempt, 1, "and nobody has seen it");
}

#[test]
fn a_write_that_was_given_up_is_not_carried_out_after_its_callers_next_one_over_a_new_connection() {
    let (redis, ground) = (Redis::start(Keeps::Nothing, &[]), Ground::new());
    let (former, present) = (Wire::to(redis.address), Wire::to(redis.address));
    let door = Door::to(&ground, former.address);
    let store = ground.store(&format!("redis://{}?timeout_ms=300", door.address));
    let plain = Put { flags: 0, life: None, mode: Mode::Set, version: None };
    let put = |value: &str| ground.run(store.put(b"key", value.as_bytes(), plain));
    put("before").unwrap();
    let stands = |id: &str| redis.cli(&["CLIENT", "LIST", "ID", id]).contains("id=");
    let old = redis.cli(&["CLIENT", "LIST", "TYPE", "NORMAL"]);
    let old = old.lines().find(|line| line.contains("cmd=set")).expect("the store's");
    let old = old.split_once(' ').and_then(|(id, _)| id.strip_prefix("id=")).unwrap();
    former.set(Does::Hold);
    assert_eq!(put("0").unwrap_err().kind(), Kind::Unavailable);
    *door.leads_to.lock() = present.address;
    let mut written = 0;
    within(DEAF_MAX, "it is written over a new connection", || {
        written += 1;
        put(&written.to_string()).is_ok()
    });
    former.set(Does::Pass);
    within(DEAF_MAX, "the former connection ends", || !stands(old));
    let values = ground.run(store.get(&[b"key"]));
    assert_eq!(&*values[0].as_ref().unwrap().as_ref().unwrap().value, written.to_string().as_bytes());
}

#[test]
fn many_keys_are_waited_for_no_longer_than_one_while_the_server_stands_still() {
    let (redis, ground) = (Redis::start(Keeps::Nothing, &[]), Ground::new());
    let store = ground.store(&format!("redis://{}?timeout_ms=3000", redis.address));
    let keys: Vec<String> = (0..5_000).map(|number| format!("key{number}")).collect();
    let keys: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
    assert!(ground.run(store.get(&keys)).iter().all(|value| matches!(value, Ok(None))));
    redis.pause();
    let began = Instant::now();
    let values = ground.run(store.get(&keys));
    assert!(began.elapsed() < Duration::from_millis(3_000) + LATE, "{:?}", began.elapsed());
    assert_eq!(values.len(), keys.len());
    assert!(values.iter().all(|value| value.as_ref().unwrap_err().kind() == Kind::Unavailable));
    redis.resume();
}

#[test]
fn a_large_write_on_a_slow_wire_does_not_cost_the_connection() {
    let (redis, ground) = (Redis::start(Keeps::Nothing, &[]), Ground::new());
    let wire = Wire::to(redis.address);
    let store = ground.store(&format!("redis://{}?timeout_ms=300", wire.address));
    let clients = || {
        let list = redis.cli(&["CLIENT", "LIST", "TYPE", "NORMAL"]);
        let others = list.lines().filter(|line| !line.contains("cmd=client|list"));
        others.map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let before = clients();
    wire.set(Does::Hold);
    let value = vec![7; 48 << 20];
    let mut large = Box::pin({
        let store = store.clone();
        let put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
        async move { store.put(b"large", &value, put).await }
    });
    // It is under way before anything else is asked for.
    ground.run(poll_fn(|context| match large.as_mut().poll(context) {
        Poll::Pending => Poll::Ready(()),
        Poll::Ready(_) => unreachable!("the wire carries nothing"),
    }));
    let large = ground.handle().spawn(large);
    // The first one's end gives reason to doubt the connection, and the others last longer than an idle one is given.
    for _ in 0..4 {
        assert_eq!(ground.run(store.get(&[b"small"])).remove(0).unwrap_err().kind(), Kind::Unavailable);
    }
    assert!(ground.run(store.ready(Duration::ZERO)).is_ok(), "it still stands");
    wire.set(Does::Pass);
    assert!(matches!(ground.run(large).unwrap(), Ok(Changed::Done(_))));
    assert_eq!(clients(), before);
}

#[test]
fn a_publish_during_an_outage_waits_for_its_end_up_to_the_stated_time() {
    let (redis, ground) = (Redis::start(Keeps::Everything, &[]), Ground::new());
    let open = |patience: u32| {
        ground.broker(&format!("redis://{}?patience_ms={patience}&timeout_ms=300", redis.address))
    };
    let publisher = |broker, queue| Publisher::begin(ground.handle(), broker, ground.clock.clone(), queue);
    let (patient, impatient) = (open(20_000), open(300));
    let (waits, is_refused) = (publisher(patient.clone(), "waits"), publisher(impatient.clone(), "refused"));
    redis.kill();
    for broker in [&patient, &impatient] {
        within(DEAF_MAX, "the outage is noticed", || ground.run(broker.ready(Duration::ZERO)).is_err());
    }
    is_refused.is_refused_within(Duration::from_millis(600) + LATE);
    waits.waits_until(|| redis.start_again());
    is_refused.publishes("afterwards");
}

#[test]
fn a_server_that_keeps_less_than_was_asked_for_is_refused_by_name() {
    let ground = Ground::new();
    let refused = |redis: &Redis, options: &str| {
        let url = format!("redis://{}?{options}", redis.address);
        let (broker, works) = broker::open(Settings::parse(&url).unwrap(), ground.clock.clone()).unwrap();
        ground.spawn(works);
        let queue = QueueSettings::new(name("q"));
        let declared = ground.run(broker.ensure(&queue));
        let published = ground.run(broker.publish(&queue.name, vec![message("m")]));
        assert_eq!(declared.is_ok(), published.is_ok());
        declared.err().map(|error| {
            assert_eq!(error.kind(), Kind::Unsupported);
            error.to_string()
        })
    };
    let forgets = Redis::start(Keeps::Nothing, &[]);
    assert!(refused(&forgets, "").unwrap().contains("appendonly"));
    assert_eq!(refused(&forgets, "durable=any"), None);
    let each_second = Redis::start(Keeps::Everything, &["--appendfsync", "everysec"]);
    assert_eq!(refused(&each_second, "durable=everysec"), None);
    assert!(refused(&each_second, "durable=always").unwrap().contains("appendfsync"));
    let evicts =
        Redis::start(Keeps::Everything, &["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    assert!(refused(&evicts, "").unwrap().contains("maxmemory-policy"));
}

#[test]
fn a_server_that_may_evict_offers_neither_tags_nor_locks_and_one_that_may_forget_no_locks() {
    let ground = Ground::new();
    let offers = |keeps, more: &[&str]| {
        let redis = Redis::start(keeps, more);
        let can = ground.store(&format!("redis://{}", redis.address)).capabilities();
        (can.tags, can.locks)
    };
    let (all, nothing) = (Keeps::Everything, Keeps::Nothing);
    assert_eq!(offers(all, &[]), (true, true));
    assert_eq!(offers(all, &["--maxmemory", "100mb", "--maxmemory-policy", "noeviction"]), (true, true));
    assert_eq!(offers(all, &["--maxmemory", "100mb", "--maxmemory-policy", "volatile-ttl"]), (false, false));
    assert_eq!(offers(nothing, &[]), (true, false), "a restart could lose a lock");
    assert_eq!(offers(all, &["--appendfsync", "everysec"]), (true, false));
}

#[test]
fn what_a_store_offers_does_not_change_with_its_connection() {
    let (redis, ground) = (Redis::start(Keeps::Everything, &[]), Ground::new());
    let settings = Settings::parse(&format!("redis://{}", redis.address)).unwrap();
    let (store, work) = store::open(settings, ground.clock.clone());
    let offers = || (store.capabilities().tags, store.capabilities().locks);
    assert_eq!(offers(), (false, false), "nothing is known yet");
    ground.spawn(vec![work]);
    ground.run(store.ready(DEAF_MAX)).unwrap();
    assert_eq!(offers(), (true, true));
    redis.kill();
    within(DEAF_MAX, "the outage is noticed", || ground.run(store.ready(Duration::ZERO)).is_err());
    assert_eq!(offers(), (true, true));
}

#[test]
fn versions_grow_also_after_the_server_has_lost_everything() {
    let (redis, ground) = (Redis::start(Keeps::Nothing, &[]), Ground::new());
    let store = ground.store(&format!("redis://{}", redis.address));
    let put = Put { flags: 0, life: None, mode: Mode::Add, version: None };
    let mut last = Version(0);
    for _ in 0..50 {
        let Changed::Done(version) = ground.run(store.put(b"lock", b"", put)).unwrap() else { panic!() };
        assert!(version > last);
        last = version;
        assert_eq!(redis.cli(&["FLUSHALL"]), "OK");
    }
}

#[test]
fn a_dropped_broker_ends_its_works() {
    let (redis, ground) = (Redis::start(Keeps::Everything, &[]), Ground::new());
    let clients = || redis.cli(&["CLIENT", "LIST"]).lines().count();
    let before = clients();
    let (broker, store) = (ground.broker(&url(redis.address)), ground.store(&url(redis.address)));
    assert!(clients() > before);
    drop((broker, store));
    within(DEAF_MAX, "their connections end", || clients() == before);
}
