//! A slot of a cluster moves to another master while its messages are published and consumed.

use std::time::Duration;

use forebay_core::delivery::{Outcome, Settled};
use forebay_core::entry::Mode;
use forebay_core::error::Kind;
use forebay_core::message::{Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::ports::broker::{Broker, Receive};
use forebay_core::ports::clock::Clock;
use forebay_core::ports::remote_store::{Put, RemoteStore};
use forebay_core::queue::{QueueName, QueueSettings};

use crate::faults::{BOUNDS, DEAF_MAX, queues};
use crate::ground::{Ground, READY_MAX};
use forebay_contract::outage::Outage;
use forebay_contract::servers::redis::Redis;
use forebay_contract::servers::redis::cluster::{Cluster, LAST_SLOTS};
use forebay_contract::servers::{Restarts, within};

/// The slot of a prefix, on its way.
struct Move<'a> {
    cluster: &'a Cluster,
    slot: String,
    from: &'a Redis,
    to: &'a Redis,
}

impl<'a> Move<'a> {
    /// Begins it; nothing has moved yet.
    fn begin(cluster: &'a Cluster, prefix: &str) -> Self {
        let slot = cluster.masters[0].cli(&["CLUSTER", "KEYSLOT", &format!("{{{prefix}}}")]);
        let number: usize = slot.parse().unwrap();
        let place = LAST_SLOTS.iter().position(|last| number <= *last).unwrap();
        let (from, to) = (&cluster.masters[place], &cluster.masters[(place + 1) % cluster.masters.len()]);
        assert_eq!(to.cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id(from)]), "OK");
        assert_eq!(from.cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id(to)]), "OK");
        Self { cluster, slot, from, to }
    }

    /// Moves so many keys.
    fn keys(&self, most: usize) {
        for key in self.from.cli(&["CLUSTER", "GETKEYSINSLOT", &self.slot, &most.to_string()]).lines() {
            let port = self.to.address.port().to_string();
            let moved = self.from.cli(&["MIGRATE", "127.0.0.1", &port, key, "0", "10000"]);
            assert!(moved == "OK" || moved == "NOKEY", "{moved}");
        }
    }

    /// Moves what is left, and tells all masters whose the slot is.
    fn end(self) {
        within(READY_MAX, "all keys have moved", || {
            self.keys(1_000);
            self.from.cli(&["CLUSTER", "COUNTKEYSINSLOT", &self.slot]) == "0"
        });
        let id = id(self.to);
        for master in
            [self.to, self.from].into_iter().chain(&self.cluster.masters).filter(|master| master.runs())
        {
            assert_eq!(master.cli(&["CLUSTER", "SETSLOT", &self.slot, "NODE", &id]), "OK");
        }
    }
}

fn id(master: &Redis) -> String {
    master.cli(&["CLUSTER", "MYID"])
}

fn message(id: &str) -> Message {
    Message::new(MessageId::given(id).unwrap(), Payload::from(id))
}

#[test]
fn while_the_slot_moves_nothing_is_done_by_halves_and_what_failed_can_be_done_afterwards() {
    let (cluster, ground) = (Cluster::start(), Ground::new());
    let broker =
        ground.broker(&format!("redis-cluster://{}?durable=always&prefix=moving", cluster.addresses()));
    let settings = QueueSettings::new(QueueName::new("q").unwrap());
    let q = &settings.name;
    ground.run(broker.ensure(&settings)).unwrap();
    ground.run(broker.publish(q, vec![message("a"), message("b")])).unwrap();
    let receive = |count_max| {
        let asked = Receive { count_max, hold: None, wait_until: ground.clock.now() };
        ground.run(broker.receive(q, asked))
    };
    let held = receive(1).unwrap().remove(0).id;
    let again = || ground.run(broker.settle(q, held, Outcome::RetryAt(ground.clock.now()), None));
    let nothing_is_done = || {
        assert_eq!(again().unwrap_err().kind(), Kind::Unavailable);
        assert_eq!(receive(1).unwrap_err().kind(), Kind::Unavailable);
        let published = ground.run(broker.publish(q, vec![message("c")]));
        assert_eq!(published.unwrap_err().kind(), Kind::Unavailable);
    };
    let moving = Move::begin(&cluster, "moving");
    nothing_is_done();
    moving.keys(3);
    nothing_is_done();
    moving.end();
    let mut settled = None;
    within(READY_MAX, "the new master is found", || {
        settled = again().ok();
        settled.is_some()
    });
    assert_eq!(settled, Some(Settled::Done));
    let got: Vec<_> = receive(10)
        .unwrap()
        .into_iter()
        .map(|delivery| (delivery.message.id.as_str().to_owned(), delivery.attempt))
        .collect();
    assert_eq!(got, [("a".to_owned(), 2), ("b".to_owned(), 1)]);
}

#[test]
fn a_slot_is_followed_also_when_all_servers_that_the_url_names_are_gone() {
    let (cluster, ground) = (Cluster::start(), Ground::new());
    let named = &cluster.masters[0];
    let store = ground.store(&format!("redis-cluster://{}?timeout_ms=500", named.address));
    let is_of_another = |tag: &String| {
        let slot: usize = named.cli(&["CLUSTER", "KEYSLOT", tag]).parse().unwrap();
        (5_461..=10_922).contains(&slot)
    };
    let tag = (0..).map(|number| format!("tag{number}")).find(is_of_another).unwrap();
    let key = format!("{{{tag}}}:key");
    let put = || {
        let put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
        ground.run(store.put(key.as_bytes(), b"value", put))
    };
    put().unwrap();
    let moving = Move::begin(&cluster, &tag);
    named.kill();
    moving.end();
    within(READY_MAX, "the new master is found", || put().is_ok());
}

#[test]
fn a_slot_that_moves_under_load_loses_nothing_and_leaves_nothing_behind() {
    let (cluster, ground) = (Cluster::start(), Ground::new());
    let options = "durable=always&timeout_ms=500&patience_ms=2000&prefix=loaded";
    let broker = ground.broker(&format!("redis-cluster://{}?{options}", cluster.addresses()));
    let mut load = Outage::begin(ground.handle(), broker.clone(), ground.clock.clone(), BOUNDS, queues());
    let moving = Move::begin(&cluster, "loaded");
    let to = moving.to;
    load.until_refused();
    moving.keys(4);
    load.until_refused();
    moving.end();
    load.end("Redis Cluster", "slot moved to another master, key by key");
    // What is in a stream and in no set would stay there for ever.
    for queue in queues().into_iter().map(|queue| queue.name) {
        within(DEAF_MAX, "all that was taken in can be settled", || {
            let wait_until = ground.clock.now() + Duration::from_millis(100);
            let asked = Receive { count_max: 100, hold: None, wait_until };
            for delivery in ground.run(broker.receive(&queue, asked)).unwrap() {
                ground.run(broker.settle(&queue, delivery.id, Outcome::Done, None)).unwrap();
            }
            to.cli(&["XLEN", &format!("{{loaded}}:stream:{queue}")]) == "0"
        });
    }
}
