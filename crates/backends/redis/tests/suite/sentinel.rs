//! A master that sentinels watch over, and a replica that takes over.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::entry::Mode;
use forebay_core::error::{Error, Kind};
use forebay_core::message::{Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::ports::broker::{Broker, Receive};
use forebay_core::ports::bus::{Bus, Heard};
use forebay_core::ports::clock::Clock;
use forebay_core::ports::remote_store::{Asked, Fill, Filled, Put, RemoteStore};
use forebay_core::queue::{QueueName, QueueSettings};

use crate::faults::{BOUNDS, DEAF_MAX, LATE, TIMEOUT, queues};
use crate::ground::Ground;
use forebay_contract::outage::store::Stores;
use forebay_contract::outage::{Bounds, Outage, rounds};
use forebay_contract::servers::redis::sentinel::{FAIL_OVER_MAX, Node, Watched};
use forebay_contract::servers::redis::{Keeps, Redis};
use forebay_contract::servers::wire::Does;
use forebay_contract::servers::{Pauses, Restarts, until, within};
use forebay_redis::bus::{Kept, RedisBus};

const FILL: Fill<'static> = Fill { flags: 0, life: None, tags: &[] };

/// How the master goes, and what it comes back as.
struct Fault {
    name: &'static str,
    leave: fn(&Node),
    back: fn(&Node),
}

const FAULTS: [Fault; 3] = [
    Fault {
        name: "SIGKILL of the master until the replica has taken over, started again",
        leave: |node| node.redis.kill(),
        back: |node| node.redis.start_again(),
    },
    Fault {
        name: "SIGSTOP of the master until the replica has taken over",
        leave: |node| node.redis.pause(),
        back: |node| node.redis.resume(),
    },
    Fault {
        name: "master cut off until the replica has taken over",
        leave: |node| node.wire.cut(Does::Refuse),
        back: |node| node.wire.set(Does::Pass),
    },
];

/// The master suffers this again and again, which is another one each time. It comes back as soon as another has taken over, and
/// goes on as a master until it is told; or, where that would lose what it confirms, once nobody asks it any more.
fn suffers(load: &mut Outage, watched: &Watched, fault: &Fault, backend: &str, is_fenced: bool) {
    for _ in 0..rounds() {
        let master = watched.master();
        (fault.leave)(&watched.nodes[master]);
        load.until_refused();
        watched.await_promoted(1 - master);
        if !is_fenced {
            load.goes_on("with the new master");
        }
        (fault.back)(&watched.nodes[master]);
        watched.await_demoted(master);
        load.goes_on("after a fail-over");
    }
    load.end(backend, fault.name);
}

#[test]
fn fail_overs_under_load_lose_nothing_that_was_confirmed_and_leave_nobody_deaf() {
    for fault in &FAULTS {
        let (watched, ground) = (Watched::start(), Ground::new());
        let broker = ground.broker(&watched.url("replicas=1&durable=always&timeout_ms=500&patience_ms=2000"));
        let clock = ground.clock.clone();
        let mut load = Outage::begin(ground.handle(), broker.clone(), clock, BOUNDS, queues());
        suffers(&mut load, &watched, fault, "Redis with sentinels", true);
        broker.close();
    }
}

#[test]
fn fail_overs_under_load_bring_back_nothing_that_was_invalidated() {
    for fault in &FAULTS {
        let (watched, ground) = (Watched::start(), Ground::new());
        let url = watched.url(&format!("timeout_ms={}", TIMEOUT.as_millis()));
        let all = [ground.store(&url) as Arc<dyn RemoteStore>, ground.store(&url)];
        let keys = (0..40).map(|number| format!("load:{number}")).collect();
        let stores = Stores { all, keys, elsewhere: Vec::new(), makes_up: false, deaf_max: DEAF_MAX };
        let bounds = Bounds { wait: TIMEOUT, slack: LATE, consumers: 3, ..BOUNDS };
        let mut load = Outage::begin_on_stores(ground.handle(), &stores, bounds);
        suffers(&mut load, &watched, fault, "Redis as a store, with sentinels", false);
    }
}

/// The former master is not told: its connections stay, and it is a master as before.
fn name_instead(watched: &Watched, other: &Redis) {
    let port = other.address.port().to_string();
    assert_eq!(watched.sentinel.cli(&["SENTINEL", "REMOVE", "main"]), "OK");
    assert_eq!(watched.sentinel.cli(&["SENTINEL", "MONITOR", "main", "127.0.0.1", &port, "1"]), "OK");
}

fn fail_over(watched: &Watched) {
    watched.nodes[0].redis.kill();
    watched.await_promoted(1);
}

#[test]
fn a_publish_that_a_replica_has_survives_a_fail_over_and_the_broker_goes_on_with_the_new_master() {
    let (watched, ground) = (Watched::start(), Ground::new());
    let broker = ground.broker(&watched.url("replicas=1&durable=always&timeout_ms=2000"));
    let queue = QueueName::new("q").unwrap();
    let message = |id: &str| Message::new(MessageId::given(id).unwrap(), Payload::from(id));
    ground.run(broker.ensure(&QueueSettings::new(queue.clone()))).unwrap();
    for id in ["a", "b", "c"] {
        ground.run(broker.publish(&queue, vec![message(id)])).unwrap();
    }
    fail_over(&watched);
    let mut received = Vec::new();
    within(FAIL_OVER_MAX, "what was confirmed is received from the new master", || {
        let wait_until = ground.clock.now() + Duration::from_secs(1);
        let asked = Receive { count_max: 10, hold: None, wait_until };
        let deliveries = ground.run(broker.receive(&queue, asked)).unwrap_or_default();
        received.extend(deliveries.iter().map(|delivery| delivery.message.id.as_str().to_owned()));
        received.len() >= 3
    });
    assert_eq!(received, ["a", "b", "c"]);
    // There is no replica any more: what is published is not confirmed, and that is said.
    let unconfirmed = ground.run(broker.publish(&queue, vec![message("d")])).unwrap_err();
    assert!(unconfirmed.to_string().contains("0 of 1 replicas"), "{unconfirmed}");
}

#[test]
fn leases_and_values_of_the_old_master_are_void_with_the_new_one() {
    let (watched, ground) = (Watched::start(), Ground::new());
    let store = ground.store(&watched.url(""));
    let lease =
        |key: &'static [u8]| match ground.run(store.get_or_lease(key, Duration::from_secs(60))).unwrap() {
            Asked::Granted(grant) => grant,
            asked => panic!("{asked:?}"),
        };
    let (before, other) = (lease(b"before"), lease(b"other"));
    assert!(matches!(ground.run(store.fill(b"other", b"value", FILL, other)), Ok(Filled::Stored(_))));
    within(FAIL_OVER_MAX, "the replica has the lease, too", || {
        watched.nodes[1].redis.cli(&["EXISTS", "forebay:e:before"]) == "1"
    });
    fail_over(&watched);
    // An invalidation may have been lost with the old master: its leases are not trusted.
    within(FAIL_OVER_MAX, "the new master is used", || ground.run(store.get(&[b"other"])).remove(0).is_ok());
    assert_eq!(ground.run(store.get(&[b"other"])).remove(0).unwrap(), None, "nor are its values");
    assert_eq!(ground.run(store.fill(b"before", b"old", FILL, before)).unwrap(), Filled::Refused);
    lease(b"before");
    assert!(!store.capabilities().locks, "a fail-over could lose a lock");
}

#[test]
fn a_former_master_that_was_never_told_serves_nothing_of_before_when_it_is_named_again() {
    let (watched, ground) = (Watched::start(), Ground::new());
    let store = ground.store(&watched.url("timeout_ms=500"));
    let put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
    ground.run(store.put(b"key", b"older", put)).unwrap();
    let Asked::Granted(lease) = ground.run(store.get_or_lease(b"leased", Duration::from_secs(600))).unwrap()
    else {
        panic!("nobody else has it")
    };
    let [former, other] = &watched.nodes;
    former.wire.cut(Does::Refuse);
    watched.await_promoted(1);
    for key in [&b"key"[..], b"leased"] {
        within(FAIL_OVER_MAX, "the new master is used", || {
            ground.run(store.remove(key, None, Duration::ZERO)).is_ok()
        });
    }
    // The other one is away before the sentinel could make the former one its replica.
    former.wire.set(Does::Pass);
    other.wire.cut(Does::Refuse);
    watched.await_promoted(0);
    for key in ["forebay:e:key", "forebay:e:leased"] {
        assert_eq!(former.redis.cli(&["EXISTS", key]), "1", "it never heard of the removal");
    }
    within(FAIL_OVER_MAX, "the former master is used", || ground.run(store.get(&[b"key"])).remove(0).is_ok());
    assert_eq!(ground.run(store.get(&[b"key"])).remove(0).unwrap(), None);
    assert_eq!(ground.run(store.fill(b"leased", b"older", FILL, lease)).unwrap(), Filled::Refused);
}

#[test]
fn a_former_master_that_was_never_told_tells_of_a_gap_when_it_is_named_again() {
    let (watched, ground) = (Watched::start(), Ground::new());
    let bus = ground.bus(&watched.url("timeout_ms=500"), Kept::default());
    let [former, other] = &watched.nodes;
    let publish = |word: &'static str| {
        until(FAIL_OVER_MAX, "a notice is taken", || ground.run(bus.publish(word.into())).ok())
    };
    let before = publish("before");
    within(FAIL_OVER_MAX, "the replica has it, too", || other.redis.cli(&["XLEN", "{forebay}:bus"]) == "1");
    former.wire.cut(Does::Refuse);
    watched.await_promoted(1);
    let lost = publish("lost");
    former.wire.set(Does::Pass);
    other.wire.cut(Does::Refuse);
    watched.await_promoted(0);
    assert_eq!(former.redis.cli(&["XLEN", "{forebay}:bus"]), "1", "it never heard of the second one");
    let heard = until(FAIL_OVER_MAX, "the former master is listened to", || {
        let mut listener = ground.run(bus.listen(Some(before))).ok()?;
        ground.run(listener.next()).ok()
    });
    let Heard::Gap { from, to } = heard else { panic!("{heard:?}") };
    assert!(from < lost && lost <= to, "{lost:?} is not between {from:?} and {to:?}");
}

#[test]
fn who_listened_to_another_master_hears_of_a_gap_also_where_that_was_ahead() {
    let (watched, ground) = (Watched::start(), Ground::new());
    let bus = ground.bus(&watched.url("timeout_ms=500"), Kept::default());
    let other = Redis::start(Keeps::Everything, &[]);
    let others = ground.bus(&format!("redis://{}", other.address), Kept::default());
    let publish = |bus: &RedisBus, word: &'static str| ground.run(bus.publish(word.into())).unwrap();
    let mut listener = ground.run(bus.listen(None)).unwrap();
    let missed = publish(&others, "missed");
    let heard = publish(&bus, "heard");
    assert!(missed < heard, "positions follow the clock");
    let notice = ground.run(listener.next()).unwrap();
    assert!(matches!(notice, Heard::Notice { position, .. } if position == heard), "{notice:?}");
    let last = publish(&others, "last");
    name_instead(&watched, &other);
    for after in [None, Some(heard)] {
        let heard = until(FAIL_OVER_MAX, "the other one is listened to", || {
            let mut anew = after.map(|_| ground.run(bus.listen(after))).transpose().ok()?;
            ground.run(anew.as_mut().unwrap_or(&mut listener).next()).ok()
        });
        let Heard::Gap { from, to } = heard else { panic!("{heard:?}") };
        assert!(from < missed && last <= to, "{missed:?} is not between {from:?} and {to:?}");
    }
}

#[test]
fn who_is_told_of_no_fail_overs_puts_nothing_in_doubt() {
    let (watched, ground) = (Watched::start(), Ground::new());
    let bus = ground.bus(&watched.url("timeout_ms=500"), Kept::default());
    fail_over(&watched);
    within(FAIL_OVER_MAX, "the new master is asked", || ground.run(bus.publish("first".into())).is_ok());
    // It is named by its address alone.
    let url = format!("redis://{}", watched.nodes[1].wire.address);
    let both = [bus, ground.bus(&url, Kept::default())];
    let mut listeners = both.each_ref().map(|bus| ground.run(bus.listen(None)).unwrap());
    for bus in both.iter().cycle().take(6) {
        let published = ground.run(bus.publish("notice".into())).unwrap();
        for listener in &mut listeners {
            let heard = ground.run(listener.next()).unwrap();
            assert!(matches!(heard, Heard::Notice { position, .. } if position == published), "{heard:?}");
        }
    }
}

#[test]
fn receivers_are_rung_for_by_the_master_that_the_sentinels_name_where_the_former_one_still_is_one() {
    let (watched, ground) = (Watched::start(), Ground::new());
    let _broker = ground.broker(&watched.url("durable=always"));
    let _bus = ground.bus(&watched.url(""), Kept::default());
    let other = Redis::start(Keeps::Everything, &[]);
    name_instead(&watched, &other);
    for channel in ["{forebay}:bell", "{forebay}:bus:bell"] {
        within(FAIL_OVER_MAX, "the bell of the other one is heard", || {
            other.cli(&["PUBSUB", "NUMSUB", channel]).ends_with('1')
        });
    }
}

#[test]
fn a_store_goes_to_the_master_that_the_sentinels_name_also_where_the_former_one_still_is_one() {
    let (watched, ground) = (Watched::start(), Ground::new());
    let store = ground.store(&watched.url(""));
    let put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
    assert!(ground.run(store.put(b"key", b"former", put)).is_ok());
    let other = Redis::start(Keeps::Everything, &[]);
    name_instead(&watched, &other);
    within(FAIL_OVER_MAX, "the other one is asked", || {
        matches!(ground.run(store.get(&[b"key"])).remove(0), Ok(None))
    });
}

#[test]
fn a_master_that_was_made_a_replica_is_not_read_any_more() {
    let (redis, other, ground) =
        (Redis::start(Keeps::Everything, &[]), Redis::start(Keeps::Everything, &[]), Ground::new());
    let store = ground.store(&format!("redis://{}", redis.address));
    let put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
    assert!(ground.run(store.put(b"key", b"value", put)).is_ok());
    let port = other.address.port().to_string();
    assert_eq!(redis.cli(&["REPLICAOF", "127.0.0.1", &port]), "OK");
    let refused = |error: &Error| error.kind() == Kind::Unavailable && error.to_string().contains("replica");
    within(FAIL_OVER_MAX, "it is found to be a replica", || {
        ground.run(store.get(&[b"key"])).remove(0).is_err_and(|error| refused(&error))
    });
    assert_eq!(redis.cli(&["REPLICAOF", "NO", "ONE"]), "OK");
    within(FAIL_OVER_MAX, "it is a master again", || ground.run(store.get(&[b"key"])).remove(0).is_ok());
}
