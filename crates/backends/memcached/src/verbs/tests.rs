//! Calls to nodes that the test is.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::entry::{Mode, Step, Version};
use forebay_core::error::Kind;
use forebay_core::ports::remote_store::{Addition, Asked, Changed, Fill, Filled, Put, RemoteStore, Sum};
use forebay_runtime::clock::TokioClock;
use futures_util::FutureExt;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};

use crate::commands::Dialect;
use crate::link::{Link, carry};
use crate::node::{Node, Remove, State};
use crate::store::MemcachedStore;

const LINK: u64 = 7;
const SET: Put = Put { flags: 0, life: None, mode: Mode::Set, version: None };

/// A store over nodes that are up and take version numbers, and the other ends of their connections.
fn all_linked(url: &str) -> (MemcachedStore, Vec<DuplexStream>) {
    let (store, _) = MemcachedStore::new(url.parse().unwrap(), Arc::new(TokioClock::new())).unwrap();
    let link = |node: &Arc<Node>| {
        let (ours, server) = duplex(1 << 16);
        let (link, calls) = Link::new(LINK, 0, Dialect::Meta { numbers_ours: true });
        tokio::spawn(carry(ours, calls));
        node.set_links(vec![Some(Arc::new(link))]);
        assert!(node.set_up());
        server
    };
    let servers = store.inner.cluster().nodes.iter().map(link).collect();
    (store, servers)
}

/// The same over one node.
fn linked() -> (MemcachedStore, DuplexStream) {
    let (store, mut servers) = all_linked("memcached://home:1?timeout=30s");
    (store, servers.remove(0))
}

/// Answers as a daemon does whose keys outlive its restart: no number of another's is taken. What else is said is answered by
/// its verb.
async fn answer_as_pinned(server: DuplexStream) {
    let (input, mut output) = tokio::io::split(server);
    let mut lines = BufReader::new(input).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let words: Vec<&str> = line.split(' ').collect();
        if words[0] == "ms" {
            lines.next_line().await.unwrap();
        }
        let number = words.iter().find(|word| word.starts_with('O')).unwrap();
        let is_one_of_ours = |word: &&str| word.starts_with('E');
        let reply = match words[0] {
            _ if words[2..].iter().any(is_one_of_ours) => {
                "SERVER_ERROR this key outlives a restart, and its versions are given here, leave out E"
                    .to_owned()
            }
            "mg" if words.iter().any(|word| word.starts_with('N')) => {
                format!("VA 0 f0 c41 W {number}\r\n")
            }
            "mg" => format!("HD f0 c41 {number}"),
            "ma" => format!("VA 1 {number}\r\n6"),
            _ => format!("HD c42 {number}"),
        };
        output.write_all(format!("{reply}\r\n").as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn what_another_node_begins_or_ends_outdates_what_the_keys_own_has() {
    let (store, _servers) = all_linked("memcached://home:1,other:1?timeout=30s&failover=next");
    let cluster = store.inner.cluster();
    let home = &cluster.nodes[cluster.ring.first(b"key").unwrap()];
    home.set_away(State::Away, &"it is not there");
    let missed = || home.take_missed().keys.contains_key(&b"key"[..]);
    let touch = |seconds| store.touch(b"key", Some(Duration::from_secs(seconds))).now_or_never();
    assert!(touch(60).is_none() && !missed(), "it still lives");
    assert!(touch(0).is_none() && missed());
    let add = Put { mode: Mode::Add, ..SET };
    assert!(store.put(b"key", b"value", add).now_or_never().is_none() && missed());
}

#[tokio::test]
async fn a_change_that_is_given_up_while_its_node_is_in_doubt_is_made_up_for() {
    let (store, _server) = linked();
    let node = store.inner.cluster().nodes[0].clone();
    node.put_in_doubt();
    assert!(store.get(&[b"read"]).now_or_never().is_none());
    assert!(store.put(b"written", b"value", SET).now_or_never().is_none());
    assert!(store.remove(b"removed", None, Duration::ZERO).now_or_never().is_none());
    let missed = node.take_missed().keys;
    let whatever = |key: &[u8]| (key.to_vec(), Remove::Whatever);
    assert_eq!(missed, [whatever(b"written"), whatever(b"removed")].into());
}

/// A value that somebody touches must not go because the answer was late, as it would after a change.
#[tokio::test]
async fn of_a_touch_that_is_given_up_only_a_placeholder_is_in_doubt() {
    let (store, server) = linked();
    let node = store.inner.cluster().nodes[0].clone();
    let mut server = BufReader::new(server);
    let mut touch = store.touch(b"key", None);
    assert!((&mut touch).now_or_never().is_none());
    let mut look = String::new();
    server.read_line(&mut look).await.unwrap();
    let number = look.trim_end().rsplit_once(' ').unwrap().1;
    server.write_all(format!("HD f0 c5 {number}\r\n").as_bytes()).await.unwrap();
    let mut line = String::new();
    tokio::select! {
        _ = &mut touch => panic!("it is not answered"),
        read = server.read_line(&mut line) => assert!(read.unwrap() > 0),
    }
    assert!(line.contains("T0"), "{line}");
    drop(touch);
    assert_eq!(node.take_missed().keys, [(b"key".to_vec(), Remove::Placeholder)].into());
}

#[tokio::test]
async fn a_call_to_a_node_that_is_taken_out_is_unavailable_and_not_closed() {
    let (store, mut servers) = all_linked("memcached://home:1,other:1?timeout=30s");
    let cluster = store.inner.cluster();
    let keys: Vec<String> = (0..100).map(|number| format!("key:{number}")).collect();
    let key_of = |node: usize| {
        let placed = keys.iter().find(|key| cluster.ring.first(key.as_bytes()) == Some(node));
        placed.unwrap().as_bytes()
    };
    let stays = [key_of(0)];
    let goes = [key_of(1)];
    let mut asked = store.get(&goes);
    assert!((&mut asked).now_or_never().is_none(), "it waits for its answer");
    cluster.nodes[1].put_in_doubt();
    let mut waits = store.remove(goes[0], None, Duration::ZERO);
    assert!((&mut waits).now_or_never().is_none(), "it waits for the node");
    let works = store.set_nodes(&["home:1".parse().unwrap()]).unwrap();
    assert!(works.is_empty());
    // As the node's work ends it.
    drop(servers.remove(1));
    for error in [asked.await.remove(0).map(|_| ()), waits.await.map(|_| ())] {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(error.to_string().contains("taken out"), "{error}");
    }
    assert!(store.get(&stays).now_or_never().is_none(), "the other one goes on");
    store.close();
    let closed = store.get(&stays).await.remove(0);
    assert_eq!(closed.unwrap_err().kind(), Kind::Closed);
}

#[tokio::test]
async fn keys_whose_versions_the_server_gives_can_be_written_filled_counted_and_held() {
    let (store, server) = linked();
    tokio::spawn(answer_as_pinned(server));
    let done = Changed::Done(Version(42));
    assert_eq!(store.put(b"task:1", b"value", SET).await.unwrap(), done);
    let append = Put { mode: Mode::Append, ..SET };
    assert_eq!(store.put(b"task:1", b"more", append).await.unwrap(), done);
    let addition = Addition { delta: 1, step: Step::Up, create: None };
    assert_eq!(store.add(b"task:1", addition).await.unwrap(), Sum::Number(6));
    let held = store.remove(b"task:1", None, Duration::from_secs(5)).await.unwrap();
    assert_eq!(held, Changed::Done(Version::default()));
    let Asked::Granted(grant) = store.get_or_lease(b"task:1", Duration::from_secs(5)).await.unwrap() else {
        panic!("nobody else asks");
    };
    // The server may give the number again after a restart.
    assert_eq!((grant.token, grant.incarnation), (41, LINK));
    let fill = Fill { flags: 0, life: None, tags: &[] };
    let filled = store.fill(b"task:1", b"value", fill, grant).await.unwrap();
    assert_eq!(filled, Filled::Stored(Version(42)));
}
