//! A server that has lost its newest writes, or may have: what they had removed is not there again.

use std::time::Duration;

use forebay_contract::servers::redis::{Keeps, Redis};
use forebay_contract::servers::{Restarts, within};
use forebay_core::entry::{Mode, Step};
use forebay_core::ports::remote_store::{
    Addition, Asked, Changed, Fill, Filled, Grant, Put, RemoteStore, Sum,
};
use forebay_redis::store::RedisStore;

use crate::ground::{Ground, READY_MAX};

const PUT: Put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
const FILL: Fill<'static> = Fill { flags: 0, life: None, tags: &[] };
const UP: Addition = Addition { delta: 1, step: Step::Up, create: Some((1, None)) };

/// A store's value, or its error as text.
fn read(ground: &Ground, store: &RedisStore, key: &str) -> Result<Option<Vec<u8>>, String> {
    let found = ground.run(store.get(&[key.as_bytes()])).remove(0);
    found.map(|found| found.map(|shared| shared.value.to_vec())).map_err(|error| error.to_string())
}

fn granted(ground: &Ground, store: &RedisStore, key: &str) -> Grant {
    let asked = ground.run(store.get_or_lease(key.as_bytes(), Duration::from_secs(60))).unwrap();
    let grant = if let Asked::Granted(grant) = asked { Some(grant) } else { None };
    grant.expect("a lease")
}

/// Writes a key in each way that there is.
fn write_all(ground: &Ground, store: &RedisStore) {
    ground.run(store.put(b"put", b"old", PUT)).unwrap();
    ground.run(store.put(b"put_by_script", b"old", Put { mode: Mode::Add, ..PUT })).unwrap();
    assert_eq!(ground.run(store.add(b"counted", UP)).unwrap(), Sum::Number(1));
    assert_eq!(ground.run(store.add(b"counted", UP)).unwrap(), Sum::Number(2));
    let grant = granted(ground, store, "filled");
    assert!(matches!(ground.run(store.fill(b"filled", b"old", FILL, grant)), Ok(Filled::Stored(_))));
    for key in KEYS {
        assert!(matches!(read(ground, store, key), Ok(Some(_))), "{key}");
    }
}

const KEYS: [&str; 4] = ["put", "put_by_script", "counted", "filled"];

#[test]
fn what_was_removed_before_a_kill_is_not_there_again_with_the_snapshot() {
    let (redis, ground) = (Redis::start(Keeps::Nothing, &["--save", "3600 1"]), Ground::new());
    let store = ground.store(&format!("redis://{}", redis.address));
    write_all(&ground, &store);
    assert_eq!(redis.cli(&["SAVE"]), "OK");
    for key in KEYS {
        let removed = ground.run(store.remove(key.as_bytes(), None, Duration::ZERO)).unwrap();
        assert!(matches!(removed, Changed::Done(_)), "{key}");
    }
    redis.kill();
    redis.start_again();
    within(READY_MAX, "it is reached again", || read(&ground, &store, "put").is_ok());
    for key in KEYS {
        let name = format!("forebay:e:{key}");
        assert_eq!(redis.cli(&["EXISTS", &name]), "1", "the server has it again: {key}");
        assert_eq!(read(&ground, &store, key), Ok(None), "{key}");
    }
    assert_eq!(ground.run(store.get(&[b"put", b"filled"])).into_iter().flatten().flatten().count(), 0);
    // Nor is it there for what changes something.
    assert!(!ground.run(store.touch(b"put", None)).unwrap());
    let more = Put { mode: Mode::Append, ..PUT };
    assert_eq!(ground.run(store.put(b"put", b"er", more)).unwrap(), Changed::NotStored);
    assert_eq!(ground.run(store.remove(b"put", None, Duration::ZERO)).unwrap(), Changed::NotFound);
    assert_eq!(ground.run(store.add(b"counted", UP)).unwrap(), Sum::Number(1));
    let grant = granted(&ground, &store, "filled");
    assert!(matches!(ground.run(store.fill(b"filled", b"new", FILL, grant)), Ok(Filled::Stored(_))));
    assert_eq!(read(&ground, &store, "filled"), Ok(Some(b"new".to_vec())));
}

#[test]
fn what_a_server_that_writes_everything_to_its_disk_had_is_there_after_a_kill() {
    let (redis, ground) = (Redis::start(Keeps::Everything, &[]), Ground::new());
    let store = ground.store(&format!("redis://{}", redis.address));
    write_all(&ground, &store);
    ground.run(store.remove(b"put", None, Duration::ZERO)).unwrap();
    redis.kill();
    redis.start_again();
    within(READY_MAX, "it is reached again", || read(&ground, &store, "put").is_ok());
    assert_eq!(read(&ground, &store, "put"), Ok(None));
    for (key, value) in [("put_by_script", "old"), ("counted", "2"), ("filled", "old")] {
        assert_eq!(read(&ground, &store, key), Ok(Some(value.into())), "{key}");
    }
    assert_eq!(ground.run(store.add(b"counted", UP)).unwrap(), Sum::Number(3));
}

#[test]
fn what_a_master_removed_is_not_there_again_when_it_is_made_one_again_with_what_a_replica_had() {
    let redis = Redis::start(Keeps::Nothing, &["--repl-diskless-sync-delay", "0"]);
    let port = redis.address.port().to_string();
    let replica = Redis::start(Keeps::Nothing, &["--replicaof", &format!("127.0.0.1 {port}")]);
    replica.cli(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
    let follows = |one: &Redis| {
        within(READY_MAX, "it follows", || one.cli(&["INFO"]).contains("master_link_status:up"))
    };
    follows(&replica);
    let ground = Ground::new();
    let store = ground.store(&format!("redis://{}", redis.address));
    write_all(&ground, &store);
    within(READY_MAX, "the replica has it", || replica.cli(&["EXISTS", "forebay:e:filled"]) == "1");
    // From here on it misses what the master does.
    assert_eq!(replica.cli(&["REPLICAOF", "NO", "ONE"]), "OK");
    for key in KEYS {
        ground.run(store.remove(key.as_bytes(), None, Duration::ZERO)).unwrap();
    }
    let other = replica.address.port().to_string();
    assert_eq!(redis.cli(&["REPLICAOF", "127.0.0.1", &other]), "OK");
    follows(&redis);
    assert_eq!(redis.cli(&["REPLICAOF", "NO", "ONE"]), "OK");
    assert_eq!(redis.cli(&["EXISTS", "forebay:e:filled"]), "1", "it has it again");
    within(READY_MAX, "none of them is there", || {
        KEYS.iter().all(|key| matches!(read(&ground, &store, key), Ok(None)))
    });
}
