//! Nodes that come and go while the store runs, and what other nodes do in place of one that is away.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod rig;

use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_contract::remote::Rig;
use forebay_contract::servers::memcached::{Memcached, program};
use forebay_core::entry::{Mode, Step};
use forebay_core::error::{Kind, Result};
use forebay_core::ports::remote_store::{
    Addition, Asked, Fill, Filled, Put, RemoteCapabilities, RemoteStore, Sum,
};
use forebay_memcached_store::settings::{NodeSettings, Settings};
use forebay_memcached_store::store::MemcachedStore;
use forebay_runtime::clock::TokioClock;
use rig::{Real, TIME_OUT, open, start, url};

const SET: Put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
const KEYS: usize = 3_000;

fn nodes(servers: &[&Memcached]) -> Vec<NodeSettings> {
    servers.iter().map(|server| server.address.to_string().parse().expect("an address")).collect()
}

fn names() -> Vec<String> {
    (0..KEYS).map(|number| format!("moving:{number}")).collect()
}

fn put_all(rig: &Real, names: &[String], value: &str) {
    rig.runtime.block_on(async {
        for name in names {
            rig.store.put(name.as_bytes(), value.as_bytes(), SET).await.expect("its node is there");
        }
    });
}

/// What is there of each, once all can be read.
fn read_all(rig: &Real, names: &[String]) -> Vec<Option<String>> {
    let keys: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    let begun = Instant::now();
    loop {
        let read: Result<Vec<_>> = rig.runtime.block_on(rig.store.get(&keys)).into_iter().collect();
        match read {
            Ok(read) => {
                let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
                return read.into_iter().map(|found| found.map(|shared| text(&shared.value))).collect();
            }
            Err(error) => assert!(begun.elapsed() < rig.recovery(), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_node_that_comes_moves_its_share_of_keys_and_begins_empty() {
    let rig = Real::new(3, "");
    let names = names();
    put_all(&rig, &names, "value");
    let fourth = Memcached::start();
    // What it has from another time.
    for name in &names {
        assert_eq!(fourth.say(&format!("set {name} 0 0 3\r\nold")), "STORED\r\n");
    }
    let mut servers: Vec<&Memcached> = rig.servers.iter().collect();
    servers.push(&fourth);
    let works = rig.store.set_nodes(&nodes(&servers)).expect("good nodes");
    assert_eq!(works.len(), 1, "one node is new");
    start(&rig.runtime, works);
    let read = read_all(&rig, &names);
    assert!(!read.contains(&Some("old".to_owned())), "an entry from another time was served");
    let moved = read.iter().filter(|found| found.is_none()).count();
    // How many follows from the names of the nodes, which are ports here; the ring's own test has a bound.
    assert!(moved > 0 && moved < KEYS / 2, "{moved} of {KEYS} keys moved");
}

#[test]
fn keys_that_come_back_to_a_node_are_not_older_than_what_was_elsewhere() {
    let rig = Real::new(2, "");
    let names = names();
    put_all(&rig, &names, "older");
    let third = Memcached::start();
    let two = nodes(&rig.servers.iter().collect::<Vec<_>>());
    let mut three = two.clone();
    three.extend(nodes(&[&third]));
    start(&rig.runtime, rig.store.set_nodes(&three).expect("good nodes"));
    put_all(&rig, &names, "newer");
    assert!(rig.store.set_nodes(&two).expect("good nodes").is_empty());
    let read = read_all(&rig, &names);
    assert!(!read.contains(&Some("older".to_owned())), "an older entry came up again");
}

#[test]
fn a_node_that_goes_takes_only_its_own_keys_with_it() {
    let rig = Real::new(4, "");
    let names = names();
    put_all(&rig, &names, "value");
    let stays: Vec<&Memcached> = rig.servers.iter().take(3).collect();
    let gone = names.iter().filter(|name| rig.node_of(name.as_bytes()) == 3).count();
    rig.store.set_nodes(&nodes(&stays)).expect("good nodes");
    let missing = read_all(&rig, &names).iter().filter(|found| found.is_none()).count();
    assert_eq!(missing, gone);
}

#[test]
fn nodes_that_cannot_be_are_refused_and_nothing_changes() {
    let rig = Real::new(1, "");
    assert_eq!(rig.store.set_nodes(&[]).err().map(|error| error.kind()), Some(Kind::Invalid));
    let twice = nodes(&[&rig.servers[0], &rig.servers[0]]);
    assert_eq!(rig.store.set_nodes(&twice).err().map(|error| error.kind()), Some(Kind::Invalid));
    put_all(&rig, &names()[..10], "value");
    rig.store.close();
    let kept = nodes(&[&rig.servers[0]]);
    assert_eq!(rig.store.set_nodes(&kept).err().map(|error| error.kind()), Some(Kind::Closed));
}

#[test]
fn where_the_next_node_stands_in_all_keys_can_be_used_and_nothing_older_is_served_afterwards() {
    let rig = Real::new(3, "&failover=next");
    let RemoteCapabilities { lease, fenced_fill, arithmetic, conditional, .. } = rig.store.capabilities();
    assert!(!(lease || fenced_fill || arithmetic) && conditional, "processes may disagree on who is away");
    let names = names();
    put_all(&rig, &names, "older");
    rig.servers[1].pause();
    let begun = Instant::now();
    let keys: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    while rig.runtime.block_on(rig.store.get(&keys)).iter().any(Result::is_err) {
        assert!(begun.elapsed() < rig.recovery(), "no other node stands in");
    }
    put_all(&rig, &names, "newer");
    assert!(read_all(&rig, &names).iter().all(|found| found.as_deref() == Some("newer")));
    rig.servers[1].resume();
    let home = names.iter().find(|name| rig.node_of(name.as_bytes()) == 1).expect("it has keys").clone();
    // The guests end by themselves; its own node has forgotten what it missed.
    let begun = Instant::now();
    loop {
        let read = read_all(&rig, &names);
        assert!(!read.contains(&Some("older".to_owned())), "an older entry came up again");
        if read_all(&rig, std::slice::from_ref(&home)) == [None] {
            break;
        }
        assert!(begun.elapsed() < rig.recovery(), "its own node is not used again");
    }
    put_all(&rig, &names, "newest");
    assert!(read_all(&rig, &names).iter().all(|found| found.as_deref() == Some("newest")));
}

#[test]
fn a_unix_socket_is_a_node() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let socket = folder.path().join("memcached.sock");
    let rig = Real::new(1, "");
    let mut server = program()
        .arg("-s")
        .arg(&socket)
        .args(["-m", "64"])
        .spawn()
        .expect("memcached is needed for this test: apt-get install memcached");
    let store = open(&rig.runtime, &format!("memcached://{}?timeout=2s", socket.display()));
    let begun = Instant::now();
    rig.runtime.block_on(async {
        // It may not listen yet.
        while store.put(b"key", b"value", SET).await.is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "it cannot be written to");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let read = store.get(&[b"key"]).await.remove(0).expect("it answers").expect("it is there");
        assert_eq!(&*read.value, b"value");
    });
    let _ = server.kill();
    let _ = server.wait();
}

#[test]
fn what_is_no_memcached_is_unavailable_and_a_bad_key_is_refused() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let rig = Real::new(1, "");
    let store = open(&rig.runtime, &format!("memcached://{address}?timeout=200ms"));
    rig.runtime.block_on(async {
        let kind = |result: Result<_>| result.map(|_| ()).map_err(|error| error.kind());
        let begun = Instant::now();
        assert_eq!(kind(store.put(b"key", b"value", SET).await), Err(Kind::Unavailable));
        assert!(begun.elapsed() < TIME_OUT);
        for key in [&b"a b"[..], b"", b"k\r\nflush_all", &[b'k'; 251]] {
            assert_eq!(kind(rig.store.put(key, b"value", SET).await), Err(Kind::Invalid));
            assert_eq!(
                rig.store.get(&[key]).await.remove(0).map_err(|error| error.kind()),
                Err(Kind::Invalid)
            );
        }
        let large = vec![b'x'; 5 * 1024 * 1024];
        assert_eq!(kind(rig.store.put(b"large", &large, SET).await), Err(Kind::TooLarge));
        assert_eq!(kind(rig.store.put(b"after", b"it", SET).await), Ok(()));
    });
}

#[test]
fn a_store_may_be_opened_before_its_servers_are_there() {
    let rig = Real::new(1, "");
    rig.servers[0].kill();
    let settings: Settings = url(&[rig.servers[0].address], TIME_OUT, "").parse().expect("a good URL");
    let (store, works) = {
        let _inside = rig.runtime.enter();
        MemcachedStore::new(settings, Arc::new(TokioClock::new())).expect("it needs nobody there")
    };
    start(&rig.runtime, works);
    let put = || rig.runtime.block_on(store.put(b"key", b"value", SET)).map_err(|error| error.kind());
    assert_eq!(put(), Err(Kind::Unavailable));
    rig.servers[0].start_again();
    let begun = Instant::now();
    while put().is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it is there and not used");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_server_that_numbers_no_versions_or_cannot_be_emptied_is_refused_by_name() {
    let rig = Real::new(1, "");
    for flag in ["-C", "-F"] {
        let server = Memcached::start_with(&[flag]);
        let store = open(&rig.runtime, &format!("memcached://{}?timeout=2s", server.address));
        let error = rig.runtime.block_on(store.put(b"key", b"value", SET)).expect_err("it cannot be used");
        assert_eq!(error.kind(), Kind::Unsupported);
        let told = error.to_string();
        assert!(told.contains(flag) && told.contains(&server.address.to_string()), "{told}");
    }
}

#[test]
fn of_a_node_that_is_away_it_is_told_why() {
    let rig = Real::new(1, "");
    rig.servers[0].kill();
    let store = open(&rig.runtime, &url(&[rig.servers[0].address], TIME_OUT, ""));
    let error = rig.runtime.block_on(store.put(b"key", b"value", SET)).expect_err("nobody is there");
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("is away: Connection refused"), "{error}");
}

#[test]
fn a_count_that_another_node_has_gone_on_with_does_not_come_up_again_as_it_was() {
    let rig = Real::new(3, "&failover=next");
    let names = names();
    let mut own = names.iter().filter(|name| rig.node_of(name.as_bytes()) == 1).cloned();
    let (counter, other) = ([own.next().expect("it has keys")], [own.next().expect("it has keys")]);
    put_all(&rig, &counter, "5");
    put_all(&rig, &other, "value");
    rig.servers[1].pause();
    let addition = Addition { delta: 1, step: Step::Up, create: Some((1, None)) };
    let begun = Instant::now();
    let sum = loop {
        match rig.runtime.block_on(rig.store.add(counter[0].as_bytes(), addition)) {
            Ok(sum) => break sum,
            Err(error) => assert!(begun.elapsed() < rig.recovery(), "no other node stands in: {error}"),
        }
    };
    assert_eq!(sum, Sum::Number(1), "the other node knows of none");
    rig.servers[1].resume();
    let begun = Instant::now();
    while read_all(&rig, &other) == [None] {
        assert!(begun.elapsed() < rig.recovery(), "its own node is not used again");
    }
    assert_eq!(read_all(&rig, &counter), [None], "an older count came up again");
}

#[test]
fn a_grant_with_a_number_of_ours_outlives_its_connection_and_one_of_the_servers_does_not() {
    let rig = Real::new(1, "");
    let version = rig.servers[0].say("version");
    let numbers: Vec<u32> =
        version.trim_end().split(['.', ' ']).filter_map(|number| number.parse().ok()).collect();
    let takes_ours = numbers >= vec![1, 6, 27];
    let filled = rig.runtime.block_on(async {
        let asked = rig.store.get_or_lease(b"key", Duration::from_secs(60)).await.expect("it answers");
        let Asked::Granted(grant) = asked else { panic!("nobody else asks") };
        let fill = Fill { flags: 0, life: None, tags: &[] };
        // Another process has connections of its own.
        rig.other.fill(b"key", b"value", fill, grant).await.expect("it answers")
    });
    assert_eq!(matches!(filled, Filled::Stored(_)), takes_ours, "{version}");
}
