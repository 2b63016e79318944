//! A master that sentinels watch over, and a replica that takes over.

use std::time::Duration;

use forebay_core::entry::Mode;
use forebay_core::error::{Error, Kind};
use forebay_core::message::{Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::ports::broker::{Broker, Receive};
use forebay_core::ports::clock::Clock;
use forebay_core::ports::remote_store::{Asked, Fill, Filled, Put, RemoteStore};
use forebay_core::queue::{QueueName, QueueSettings};

use crate::ground::Ground;
use forebay_contract::servers::redis::{Keeps, Redis};
use forebay_contract::servers::{Restarts, within};

const FAIL_OVER_MAX: Duration = Duration::from_secs(60);
const FILL: Fill<'static> = Fill { flags: 0, life: None, tags: &[] };

struct Watched {
    master: Redis,
    replica: Redis,
    sentinel: Redis,
}

/// A sentinel that watches over this master and calls it main.
pub(crate) fn watch(master: &Redis) -> Redis {
    let port = master.address.port();
    Redis::start_sentinel(&format!(
        "sentinel monitor main 127.0.0.1 {port} 1\n\
         sentinel down-after-milliseconds main 500\n\
         sentinel failover-timeout main 3000\n"
    ))
}

fn watched() -> Watched {
    let master = Redis::start(Keeps::Everything, &["--repl-diskless-sync-delay", "0"]);
    let port = master.address.port().to_string();
    let replica = Redis::start(Keeps::Everything, &["--replicaof", &format!("127.0.0.1 {port}")]);
    within(FAIL_OVER_MAX, "the replica has caught up", || {
        replica.cli(&["INFO", "replication"]).contains("master_link_status:up")
    });
    let sentinel = watch(&master);
    within(FAIL_OVER_MAX, "the sentinel knows the replica", || {
        sentinel.cli(&["SENTINEL", "REPLICAS", "main"]).contains(&replica.address.port().to_string())
    });
    Watched { master, replica, sentinel }
}

impl Watched {
    fn url(&self, options: &str) -> String {
        format!("redis+sentinel://{}/main?{options}", self.sentinel.address)
    }

    fn fail_over(&mut self) {
        self.master.kill();
        within(FAIL_OVER_MAX, "the replica is promoted", || {
            self.replica.cli(&["INFO", "replication"]).contains("role:master")
        });
    }
}

#[test]
fn a_publish_that_a_replica_has_survives_a_fail_over_and_the_broker_goes_on_with_the_new_master() {
    let (mut watched, ground) = (watched(), Ground::new());
    let broker = ground.broker(&watched.url("replicas=1&durable=always&timeout_ms=2000"));
    let queue = QueueName::new("q").unwrap();
    let message = |id: &str| Message::new(MessageId::given(id).unwrap(), Payload::from(id));
    ground.run(broker.ensure(&QueueSettings::new(queue.clone()))).unwrap();
    for id in ["a", "b", "c"] {
        ground.run(broker.publish(&queue, vec![message(id)])).unwrap();
    }
    watched.fail_over();
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
    let (mut watched, ground) = (watched(), Ground::new());
    let store = ground.store(&watched.url(""));
    let lease =
        |key: &'static [u8]| match ground.run(store.get_or_lease(key, Duration::from_secs(60))).unwrap() {
            Asked::Granted(grant) => grant,
            asked => panic!("{asked:?}"),
        };
    let (before, other) = (lease(b"before"), lease(b"other"));
    assert!(matches!(ground.run(store.fill(b"other", b"value", FILL, other)), Ok(Filled::Stored(_))));
    within(FAIL_OVER_MAX, "the replica has the lease, too", || {
        watched.replica.cli(&["EXISTS", "forebay:e:before"]) == "1"
    });
    watched.fail_over();
    // An invalidation may have been lost with the old master: its leases are not trusted.
    within(FAIL_OVER_MAX, "the new master is used", || ground.run(store.get(&[b"other"])).remove(0).is_ok());
    assert_eq!(ground.run(store.get(&[b"other"])).remove(0).unwrap(), None, "nor are its values");
    assert_eq!(ground.run(store.fill(b"before", b"old", FILL, before)).unwrap(), Filled::Refused);
    assert!(!store.capabilities().locks, "a fail-over could lose a lock");
}

#[test]
fn a_store_goes_to_the_master_that_the_sentinels_name_also_where_the_former_one_still_is_one() {
    let (watched, ground) = (watched(), Ground::new());
    let store = ground.store(&watched.url(""));
    let put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
    assert!(ground.run(store.put(b"key", b"former", put)).is_ok());
    let other = Redis::start(Keeps::Everything, &[]);
    let port = other.address.port().to_string();
    // Its connections stay, and it is a master as before.
    assert_eq!(watched.sentinel.cli(&["SENTINEL", "REMOVE", "main"]), "OK");
    assert_eq!(watched.sentinel.cli(&["SENTINEL", "MONITOR", "main", "127.0.0.1", &port, "1"]), "OK");
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
