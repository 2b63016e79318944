//! What only a server of one's own can show: a full memory, a backlog whose time is over, what nobody can read.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use forebay_core::delivery::{Delivery, Outcome, Reason, Settled};
use forebay_core::entry::Mode;
use forebay_core::error::{Kind, Result};
use forebay_core::limits;
use forebay_core::message::{Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::ports::broker::{Broker, BrokerAdmin, Receive};
use forebay_core::ports::clock::Clock;
use forebay_core::ports::remote_store::{Asked, Fill, Filled, Put, RemoteStore};
use forebay_core::queue::{Overflow, QueueName, QueueSettings};
use forebay_redis::broker::RedisBroker;

use crate::ground::{Ground, READY_MAX};
use forebay_contract::servers::redis::{Keeps, Redis};
use forebay_contract::servers::{until, within};

/// A broker with one queue.
struct Bench {
    redis: Redis,
    ground: Ground,
    broker: Arc<RedisBroker>,
    q: QueueName,
}

fn bench(more: &[&str], change: impl FnOnce(&mut QueueSettings)) -> Bench {
    let (redis, ground) = (Redis::start(Keeps::Everything, more), Ground::new());
    let broker = ground.broker(&format!("redis://{}?timeout_ms=3000", redis.address));
    let mut settings = QueueSettings::new(QueueName::new("q").unwrap());
    change(&mut settings);
    ground.run(broker.ensure(&settings)).unwrap();
    Bench { redis, ground, broker, q: settings.name }
}

fn message(id: &str) -> Message {
    Message::new(MessageId::given(id).unwrap(), Payload::from(id))
}

fn ids(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery.message.id.as_str()).collect()
}

impl Bench {
    fn publish(&self, messages: Vec<Message>) -> Result<Vec<MessageId>> {
        self.ground.run(self.broker.publish(&self.q, messages))
    }

    fn receive(&self, count_max: usize) -> Result<Vec<Delivery>> {
        let asked = Receive { count_max, hold: None, wait_until: self.ground.clock.now() };
        self.ground.run(self.broker.receive(&self.q, asked))
    }
}

#[test]
fn a_server_whose_memory_is_full_refuses_messages_and_still_hands_out_what_it_has() {
    let bench = bench(&["--maxmemory", "8mb"], |settings| settings.hold = Duration::from_millis(500));
    let large = |number: usize| Message {
        payload: Payload::from(vec![7; 100_000]),
        dedup_id: Some(number.to_string()),
        ..message(&number.to_string())
    };
    let refused = (0..300).find_map(|number| bench.publish(vec![large(number)]).err());
    assert_eq!(refused.expect("300 messages are more than the memory").kind(), Kind::Full);
    let held = bench.receive(1).unwrap();
    let offered = bench.ground.run(bench.broker.expired()).unwrap();
    assert_eq!(ids(&offered), ids(&held));
    let settle = bench.broker.settle(&bench.q, offered[0].id, Outcome::Done, None);
    assert_eq!(bench.ground.run(settle).unwrap(), Settled::Done);
}

#[test]
fn of_a_long_backlog_whose_time_is_over_nothing_is_handed_out() {
    let bench = bench(&[], |_| ());
    let over = Some(bench.ground.clock.now());
    let backlog =
        (0..6_000).map(|number: usize| Message { expires_at: over, ..message(&number.to_string()) });
    // More than the sweep ends in the time that this takes.
    let mut backlog: Vec<Message> = backlog.collect();
    while !backlog.is_empty() {
        bench.publish(backlog.split_off(backlog.len() - 1_000)).unwrap();
    }
    bench.publish(vec![message("lives")]).unwrap();
    let peeked = bench.ground.run(bench.broker.peek(&bench.q, 10)).unwrap();
    assert!(peeked.iter().all(|peeked| peeked.delivery.message.expires_at.is_none()), "{peeked:?}");
    assert_eq!(ids(&bench.receive(10).unwrap()), ["lives"]);
}

#[test]
fn what_cannot_be_read_keeps_nothing_else_back() {
    let bench = bench(&[], |settings| settings.hold = Duration::from_millis(500));
    // What another version wrote, at the second position.
    let write_another = || {
        let position = bench.redis.cli(&["HINCRBY", "{forebay}:queue:q", "position", "1"]);
        let entry = ["XADD", "{forebay}:stream:q", &format!("{position}-0")];
        let fields = ["i", "other", "m", "?", "h", "", "p", "1", "e", "0", "c", "0", "k", ""];
        bench.redis.cli(&[&entry[..], &fields[..]].concat());
        position
    };
    bench.publish(vec![message("a")]).unwrap();
    let position = write_another();
    bench.redis.cli(&["ZADD", "{forebay}:ready:q", &position, &position]);
    bench.publish(vec![message("b")]).unwrap();
    let held = bench.receive(10).unwrap();
    assert_eq!(ids(&held), ["a", "b"]);
    let stats = || bench.ground.run(bench.broker.queue(&bench.q)).unwrap().stats;
    within(Duration::from_secs(5), "it waits for somebody who can read it", || stats().delayed == 1);
    // Of the holds that run out one is of another version, too.
    let position = write_another();
    bench.redis.cli(&["HSET", "{forebay}:tokens:q", &position, "0000abcd"]);
    bench.redis.cli(&["ZADD", "{forebay}:holds", "1", &format!("{position}:q")]);
    let mut offered = Vec::new();
    within(Duration::from_secs(10), "both are offered", || {
        let deliveries = bench.ground.run(bench.broker.expired()).unwrap();
        offered.extend(ids(&deliveries).into_iter().map(str::to_owned));
        offered.len() >= 2
    });
    assert_eq!(offered, ["a", "b"]);
    within(Duration::from_secs(5), "it waits as well", || stats().delayed == 2);
}

#[test]
fn what_nobody_could_read_some_times_is_a_dead_letter_that_can_be_seen_and_brought_back() {
    let dead = QueueName::new("dead").unwrap();
    let bench = bench(&[], |settings| settings.dead_letter = Some(dead.clone()));
    for fields in [["i", "other", "m", "?", "h", "{", "p", "1"], ["a", "b", "c", "d", "e", "f", "g", "h"]] {
        let position = bench.redis.cli(&["HINCRBY", "{forebay}:queue:q", "position", "1"]);
        let entry = ["XADD", "{forebay}:stream:q", &format!("{position}-0")];
        bench.redis.cli(&[&entry[..], &fields[..]].concat());
        bench.redis.cli(&["ZADD", "{forebay}:ready:q", &position, &position]);
    }
    let letters = |queue: &str| bench.redis.cli(&["XLEN", &format!("{{forebay}}:stream:{queue}")]);
    let mut rounds = 0;
    within(Duration::from_secs(60), "both are dead letters", || {
        assert!(bench.receive(10).unwrap().is_empty());
        // Those who wait for somebody who can read them need not wait so long here.
        for position in ["1", "2"] {
            let later = ["ZADD", "{forebay}:later:q", "XX", "CH", "1", position];
            rounds += u32::from(bench.redis.cli(&later) == "1");
        }
        letters("dead") == "2"
    });
    assert!(rounds >= 2 * (limits::redis::UNREAD_TIMES_MAX - 1), "only after some times: {rounds}");
    let seen = bench.ground.run(bench.broker.peek(&dead, 10)).unwrap();
    let of = |id: &str| seen.iter().find(|peeked| peeked.delivery.message.id.as_str() == id).unwrap();
    let other = &of("other").delivery;
    assert_eq!((&*other.message.payload, other.history[0].reason), (&b"?"[..], Reason::Rejected));
    assert!(other.history[0].note.as_deref().unwrap().contains("cannot be read"));
    assert_eq!(bench.ground.run(bench.broker.redrive(&dead, 10)).unwrap(), 2);
    assert_eq!((letters("q"), letters("dead")), ("2".to_owned(), "0".to_owned()));
}

#[test]
fn many_bytes_are_moved_to_dead_letters_in_steps() {
    let dead = QueueName::new("dead").unwrap();
    let bench = bench(&[], |settings| settings.dead_letter = Some(dead.clone()));
    let over = Some(bench.ground.clock.now() + Duration::from_secs(3));
    let large = |number: usize| Message {
        payload: Payload::from(vec![7; 1 << 20]),
        expires_at: over,
        ..message(&number.to_string())
    };
    bench.publish((0..24).map(large).collect()).unwrap();
    let mut times = Vec::new();
    within(Duration::from_secs(30), "all are dead letters", || {
        let asked = Receive { count_max: 24, hold: None, wait_until: bench.ground.clock.now() };
        // There is none before the first.
        let letters = bench.ground.run(bench.broker.receive(&dead, asked)).unwrap_or_default();
        times.extend(letters.iter().map(|letter| letter.history.last().unwrap().at));
        times.len() == 24
    });
    // What is moved in one step is moved at one time.
    let steps = BTreeSet::from_iter(times);
    assert!(steps.len() > 1, "{steps:?}");
}

#[test]
fn a_redrive_makes_no_queue_longer_than_it_may_be() {
    let dead = QueueName::new("dead").unwrap();
    let bench = bench(&[], |settings| {
        (settings.dead_letter, settings.length_max) = (Some(dead.clone()), 2);
        settings.overflow = Overflow::DropHead;
    });
    for id in ["a", "b", "c"] {
        bench.publish(vec![message(id)]).unwrap();
        let delivery = bench.receive(1).unwrap().remove(0);
        let settle = bench.broker.settle(&bench.q, delivery.id, Outcome::DeadLetter(Reason::Rejected), None);
        assert_eq!(bench.ground.run(settle).unwrap(), Settled::Done);
    }
    bench.publish(vec![message("held"), message("waits")]).unwrap();
    assert_eq!(ids(&bench.receive(1).unwrap()), ["held"]);
    // What is held takes no room, and nothing that waits gives way to what was given up once.
    assert_eq!(bench.ground.run(bench.broker.redrive(&dead, 10)).unwrap(), 1);
    assert_eq!(ids(&bench.receive(10).unwrap()), ["waits", "a"]);
}

#[test]
fn a_tag_forgets_what_was_removed_or_overwritten() {
    let (redis, ground) = (Redis::start(Keeps::Nothing, &[]), Ground::new());
    let store = ground.store(&format!("redis://{}", redis.address));
    let fill = |key: &str| {
        let Asked::Granted(grant) =
            ground.run(store.get_or_lease(key.as_bytes(), Duration::from_secs(60))).unwrap()
        else {
            panic!("a lease of {key}")
        };
        let fill = Fill { flags: 0, life: None, tags: &[b"tag"] };
        assert!(matches!(ground.run(store.fill(key.as_bytes(), b"", fill, grant)), Ok(Filled::Stored(_))));
    };
    let endless = || redis.cli(&["ZCOUNT", "forebay:t:tag", "+inf", "+inf"]);
    fill("removed");
    fill("overwritten");
    assert_eq!((endless(), redis.cli(&["PTTL", "forebay:t:tag"])), ("2".to_owned(), "-1".to_owned()));
    ground.run(store.remove(b"removed", None, Duration::ZERO)).unwrap();
    let put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
    ground.run(store.put(b"overwritten", b"", put)).unwrap();
    assert_eq!(endless(), "0");
    let lives: i64 = redis.cli(&["PTTL", "forebay:t:tag"]).parse().unwrap();
    assert!(lives > 0, "the set itself goes: {lives}");
}

#[test]
fn a_lease_goes_with_the_tag_of_what_was_overwritten_before_it() {
    let (redis, ground) = (Redis::start(Keeps::Nothing, &[]), Ground::new());
    let store = ground.store(&format!("redis://{}", redis.address));
    let lease = || match ground.run(store.get_or_lease(b"key", Duration::from_secs(60))).unwrap() {
        Asked::Granted(grant) => grant,
        other => panic!("{other:?}"),
    };
    let tagged = Fill { flags: 0, life: None, tags: &[b"one", b"two"] };
    assert!(matches!(ground.run(store.fill(b"key", b"", tagged, lease())), Ok(Filled::Stored(_))));
    let put = Put { flags: 0, life: Some(Duration::from_secs(60)), mode: Mode::Set, version: None };
    ground.run(store.put(b"key", b"", put)).unwrap();
    ground.run(store.remove(b"key", None, Duration::ZERO)).unwrap();
    let grant = lease();
    assert_eq!(ground.run(store.remove_tag(b"two")).unwrap(), 0, "it had no tags at last");
    assert_eq!(ground.run(store.fill(b"key", b"older", tagged, grant)).unwrap(), Filled::Refused);
}

#[test]
fn a_tag_that_an_entry_was_given_again_knows_it_as_long_as_it_lives() {
    let redis = Redis::start(Keeps::Nothing, &[]);
    let leave = concat!(
        include_str!("../../src/store/lua/prelude.lua"),
        include_str!("../../src/store/lua/leave_tags.lua")
    );
    let sets = ["forebay:t:again", "forebay:t:before"];
    for set in sets {
        redis.cli(&["ZADD", set, "+inf", "forebay:e:key"]);
    }
    // Filled again with the first of two tags, before the write that had overwritten both has left them.
    redis.cli(&[
        "EVAL",
        r"redis.call('SET', KEYS[1], '\251V' .. string.rep('0', 12) .. 'life\1\5again')",
        "1",
        "forebay:e:key",
    ]);
    redis.cli(&["EVAL", leave, "3", "forebay:e:key", sets[0], sets[1], "60000", "again", "before", "life"]);
    assert_eq!(redis.cli(&["ZSCORE", sets[0], "forebay:e:key"]), "inf");
    assert_ne!(redis.cli(&["ZSCORE", sets[1], "forebay:e:key"]), "inf");
}

#[test]
fn a_look_at_no_messages_shows_none() {
    let bench = bench(&[], |_| ());
    bench.publish(vec![message("a"), message("b")]).unwrap();
    let shown = |most| bench.ground.run(bench.broker.peek(&bench.q, most)).unwrap().len();
    assert_eq!((shown(0), shown(1)), (0, 1));
}

#[test]
fn what_others_may_read_of_another_history_goes_with_its_tag() {
    let (redis, ground) = (Redis::start(Keeps::Nothing, &[]), Ground::new());
    let store = ground.store(&format!("redis://{}", redis.address));
    let Asked::Granted(lease) = ground.run(store.get_or_lease(b"key", Duration::from_secs(60))).unwrap()
    else {
        panic!("nobody else has it")
    };
    let fill = Fill { flags: 0, life: None, tags: &[b"tag"] };
    assert!(matches!(ground.run(store.fill(b"key", b"value", fill, lease)), Ok(Filled::Stored(_))));
    // As who came by another login or another sentinel has written it: the history is at 14 to 17.
    redis.cli(&["SETRANGE", "forebay:e:key", "14", "else"]);
    assert_eq!(ground.run(store.get(&[b"key"])).remove(0).unwrap(), None, "it is of another history");
    ground.run(store.remove_tag(b"tag")).unwrap();
    assert_eq!(redis.cli(&["EXISTS", "forebay:e:key"]), "0");
}

#[test]
fn what_others_may_read_of_another_history_ends_with_its_life() {
    let (redis, ground) = (Redis::start(Keeps::Nothing, &[]), Ground::new());
    let store = ground.store(&format!("redis://{}", redis.address));
    let put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
    ground.run(store.put(b"key", b"value", put)).unwrap();
    redis.cli(&["SETRANGE", "forebay:e:key", "14", "else"]);
    let touch = |life| ground.run(store.touch(b"key", life)).unwrap();
    assert!(!touch(Some(Duration::from_secs(60))), "it is of another history");
    assert_eq!(redis.cli(&["PTTL", "forebay:e:key"]), "-1");
    assert!(!touch(Some(Duration::ZERO)));
    assert_eq!(redis.cli(&["EXISTS", "forebay:e:key"]), "0");
}

#[test]
fn a_publish_goes_over_no_connection_to_a_server_that_keeps_less_than_was_asked_for() {
    let (redis, ground) = (Redis::start(Keeps::Everything, &[]), Ground::new());
    let url = format!("redis://{}?durable=always&replicas=1&timeout_ms=20000", redis.address);
    let (broker, q) = (ground.broker(&url), QueueName::new("q").unwrap());
    ground.run(broker.ensure(&QueueSettings::new(q.clone()))).unwrap();
    let publish = |id: &str| {
        let (broker, q, message) = (broker.clone(), q.clone(), message(id));
        ground.handle().spawn(async move { broker.publish(&q, vec![message]).await })
    };
    // It waits for a replica that is not there, on the connection for that.
    let first = publish("first");
    let waits = until(READY_MAX, "it waits for a replica", || {
        let clients = redis.cli(&["CLIENT", "LIST"]);
        let waits = clients.lines().find(|client| client.contains(" cmd=wait "))?;
        waits.strip_prefix("id=")?.split(' ').next().map(str::to_owned)
    });
    // What the connection of all others was told of the server is not true any more.
    assert_eq!(redis.cli(&["CONFIG", "SET", "appendfsync", "no"]), "OK");
    assert_eq!(redis.cli(&["CLIENT", "KILL", "ID", &waits]), "1");
    assert_eq!(ground.run(first).unwrap().unwrap_err().kind(), Kind::Unavailable);
    let refused = ground.run(publish("second")).unwrap().unwrap_err();
    assert_eq!(refused.kind(), Kind::Unsupported, "{refused}");
    assert_eq!(redis.cli(&["XLEN", "{forebay}:stream:q"]), "1", "the second one is not there");
}
