//! The memcached front before a shared memcached: what is answered at once, how old it can be, and what a shared store that
//! is away costs.

use std::time::{Duration, Instant};

use forebay_acceptance::memcached::differential::lines;
use forebay_acceptance::memcached::near::{NearFront, TIME_OUT};
use forebay_acceptance::raw::{Raw, text};
use forebay_contract::servers::memcached::Memcached;
use forebay_core::entry::Mode;
use forebay_core::limits::near::NEAR_LIFE_MAX;
use forebay_core::ports::remote_store::{Changed, Put, RemoteStore};

const SET: Put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
/// What a busy machine may add to a time-out.
const LATE: Duration = Duration::from_secs(2);

fn ask(raw: &mut Raw, asked: &[&str]) -> String {
    String::from_utf8(raw.ask(lines(asked).as_bytes())).unwrap()
}

/// Another process writes past the front.
fn elsewhere(front: &NearFront, key: &str, value: &str) {
    let changed = front.run(front.other.put(key.as_bytes(), value.as_bytes(), SET)).unwrap();
    assert!(matches!(changed, Changed::Done(_)));
}

fn stat(raw: &mut Raw, name: &str) -> u64 {
    let stats = ask(raw, &["stats"]);
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
    line.unwrap_or_else(|| panic!("stats have no {name}")).parse().unwrap()
}

#[test]
fn what_was_read_or_written_here_is_answered_without_the_shared_store() {
    let shared = Memcached::start();
    let front = NearFront::start(&[shared.address]);
    let mut raw = Raw::connect(front.address);
    elsewhere(&front, "there", "1");
    assert_eq!(ask(&mut raw, &["get there"]), "VALUE there 0 1\r\n1\r\nEND\r\n");
    assert_eq!(ask(&mut raw, &["set here 7 0 1", "2"]), "STORED\r\n");
    let (hits, misses) = (stat(&mut raw, "near_hits"), stat(&mut raw, "near_misses"));
    let both = ["get there here", "mg here v f"];
    let answered = ask(&mut raw, &both);
    let expected = "VALUE there 0 1\r\n1\r\nVALUE here 7 1\r\n2\r\nEND\r\nVA 1 f7\r\n2\r\n";
    assert_eq!(answered, expected);
    // The mark at the end of each of three answers is a miss of its own.
    assert_eq!((stat(&mut raw, "near_hits") - hits, stat(&mut raw, "near_misses") - misses), (3, 3));
    assert_eq!(stat(&mut raw, "get_hits"), 4);
    assert_eq!(Raw::connect(shared.address).ask(b"get here\r\n"), b"VALUE here 7 1\r\n2\r\nEND\r\n");
}

#[test]
fn what_others_change_is_seen_after_a_second_and_what_this_process_changes_at_once() {
    let shared = Memcached::start();
    let front = NearFront::start(&[shared.address]);
    let (mut raw, mut other) = (Raw::connect(front.address), Raw::connect(front.address));
    for round in 0..3 {
        elsewhere(&front, "key", "old");
        raw.ask(b"get key\r\n");
        let value = format!("new{round}");
        elsewhere(&front, "key", &value);
        let changed = Instant::now();
        loop {
            // The moment of the question counts: what is late with its answer has not read something older.
            let asked = changed.elapsed();
            if ask(&mut raw, &["get key"]).contains(&value) {
                break;
            }
            assert!(asked <= NEAR_LIFE_MAX, "an older value, asked for after {asked:?}");
        }
        assert_eq!(ask(&mut raw, &[&format!("set key 0 0 {}", 4), "mine"]), "STORED\r\n");
        assert!(ask(&mut other, &["get key"]).contains("mine"));
        assert_eq!(ask(&mut other, &["delete key"]), "DELETED\r\n");
        assert_eq!(ask(&mut raw, &["get key"]), "END\r\n");
    }
}

#[test]
fn a_comparison_fails_over_what_another_process_has_written_and_then_works() {
    let shared = Memcached::start();
    let front = NearFront::start(&[shared.address]);
    let mut raw = Raw::connect(front.address);
    ask(&mut raw, &["set key 0 0 1", "1"]);
    let version = |raw: &mut Raw| {
        let got = ask(raw, &["gets key"]);
        got.lines().next().unwrap().rsplit(' ').next().unwrap().to_owned()
    };
    let seen = version(&mut raw);
    elsewhere(&front, "key", "2");
    assert_eq!(ask(&mut raw, &[&format!("cas key 0 0 1 {seen}"), "3"]), "EXISTS\r\n");
    let seen = version(&mut raw);
    assert_eq!(ask(&mut raw, &[&format!("cas key 0 0 1 {seen}"), "3"]), "STORED\r\n");
    assert_eq!(ask(&mut raw, &["get key"]), "VALUE key 0 1\r\n3\r\nEND\r\n");
}

#[test]
fn of_all_who_miss_one_is_told_to_load_and_only_a_good_lease_fills() {
    let shared = Memcached::start();
    let front = NearFront::start(&[shared.address]);
    let (mut one, mut two) = (Raw::connect(front.address), Raw::connect(front.address));
    let won = ask(&mut one, &["mg key v c N30"]);
    let token = |won: &str| {
        let number = won.split(' ').find_map(|word| word.strip_prefix('c'));
        assert!(won.starts_with("VA 0 ") && won.ends_with(" W\r\n\r\n"), "{won}");
        number.unwrap().to_owned()
    };
    let first = token(&won);
    assert_eq!(ask(&mut two, &["mg key v N30"]), "VA 0 Z\r\n\r\n");
    assert_eq!(ask(&mut two, &["md key I"]), "NF\r\n");
    let second = token(&ask(&mut two, &["mg key v c N30"]));
    assert_ne!(ask(&mut one, &[&format!("ms key 3 C{first}"), "old"]), "HD\r\n");
    assert_eq!(ask(&mut two, &[&format!("ms key 3 C{second} T60"), "new"]), "HD\r\n");
    assert_ne!(ask(&mut two, &[&format!("ms key 3 C{second}"), "bad"]), "HD\r\n");
    assert_eq!(ask(&mut one, &["mg key v N30"]), "VA 3\r\nnew\r\n");
}

#[test]
fn commands_that_came_together_are_answered_in_their_order_by_both_loops() {
    let shared = Memcached::start();
    for threads in [0, 2] {
        let front = NearFront::start_with(&[shared.address], threads);
        let mut raw = Raw::connect(front.address);
        let (mut asked, mut expected) = (String::new(), String::new());
        for number in 0..300 {
            let key = format!("key{}", number % 40);
            asked += &format!("set {key} 0 0 3\r\n{number:03}\r\nget {key}\r\nappend {key} 0 0 1\r\nx\r\n");
            asked += &format!("get {key} none\r\nincr {key} 1\r\nmn\r\ndelete {key}\r\nget {key}\r\n");
            expected += &format!("STORED\r\nVALUE {key} 0 3\r\n{number:03}\r\nEND\r\nSTORED\r\n");
            expected += &format!("VALUE {key} 0 4\r\n{number:03}x\r\nEND\r\n");
            expected += "CLIENT_ERROR cannot increment or decrement non-numeric value\r\nMN\r\n";
            expected += "DELETED\r\nEND\r\n";
        }
        assert_eq!(text(&raw.ask(asked.as_bytes())), text(expected.as_bytes()), "{threads} threads");
        let quiet: String = (0..1_000).map(|key| format!("set q{key} 0 0 1 noreply\r\n1\r\n")).collect();
        let all: Vec<String> = (0..1_000).map(|key| format!("q{key}")).collect();
        let values: String = all.iter().map(|key| format!("VALUE {key} 0 1\r\n1\r\n")).collect();
        raw.send(quiet.as_bytes());
        assert_eq!(ask(&mut raw, &[&format!("get {}", all.join(" "))]), format!("{values}END\r\n"));
        // And once more when there are no copies.
        std::thread::sleep(NEAR_LIFE_MAX);
        assert_eq!(ask(&mut raw, &[&format!("get {}", all.join(" "))]), format!("{values}END\r\n"));
    }
}

#[test]
fn what_a_shared_store_cannot_do_is_refused_by_name_and_the_connection_stays() {
    let shared = Memcached::start();
    let front = NearFront::start(&[shared.address]);
    let mut raw = Raw::connect(front.address);
    for (asked, named) in [
        (&["flush_all"][..], "flush the shared store itself"),
        (&["me key"], "ask the shared store itself"),
        (&["mg key t"], "leave these flags out"),
        (&["mg key R30"], "leave these flags out"),
        (&["ms key 1 I", "x"], "leave out I"),
        (&["ma key c"], "leave these flags out"),
    ] {
        let refused = ask(&mut raw, asked);
        assert!(refused.starts_with("SERVER_ERROR ") && refused.contains(named), "{asked:?}: {refused}");
    }
    assert_eq!(ask(&mut raw, &["flush_all noreply", "ms IAk= 1 b", "x"]).lines().count(), 1);
    assert_eq!(ask(&mut raw, &["mn"]), "MN\r\n");
}

/// A store that stands still as one that is gone.
#[test]
fn a_shared_store_that_is_away_costs_an_error_in_time_and_copies_go_on() {
    let shared = Memcached::start();
    let front = NearFront::start(&[shared.address]);
    let mut raw = Raw::connect(front.address);
    raw.ask(b"set key 0 0 1\r\n1\r\n");
    shared.pause();
    raw.send(b"get key\r\n");
    let copy = b"VALUE key 0 1\r\n1\r\nEND\r\n";
    assert_eq!(raw.read_exactly(copy.len()), copy);
    let away = b"SERVER_ERROR the shared store is away, try again later\r\n";
    for command in [
        "get other",
        "set key 0 0 1\r\n2",
        "delete key",
        "get key",
        "incr key 1",
        "touch key 9",
        "mg key N9 v",
    ] {
        let begun = Instant::now();
        raw.send(format!("{command}\r\n").as_bytes());
        assert_eq!(text(&raw.read()), text(away), "{command}");
        assert!(begun.elapsed() < TIME_OUT + LATE, "{command} took {:?}", begun.elapsed());
    }
    shared.resume();
    let begun = Instant::now();
    loop {
        raw.send(b"set key 0 0 1\r\n3\r\n");
        if raw.read() == b"STORED\r\n" {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "the shared store is not used again");
    }
    assert_eq!(ask(&mut raw, &["get key"]), "VALUE key 0 1\r\n3\r\nEND\r\n");
}

#[test]
fn one_dead_node_of_three_costs_its_own_keys_only() {
    let mut nodes: Vec<Option<Memcached>> = (0..3).map(|_| Some(Memcached::start())).collect();
    let addresses: Vec<_> = nodes.iter().flatten().map(|node| node.address).collect();
    let front = NearFront::start(&addresses);
    let mut raw = Raw::connect(front.address);
    let keys: Vec<String> = (0..60).map(|number| format!("key{number}")).collect();
    for key in &keys {
        assert_eq!(ask(&mut raw, &[&format!("set {key} 0 0 1"), "1"]), "STORED\r\n");
    }
    drop(nodes[1].take());
    std::thread::sleep(NEAR_LIFE_MAX);
    let dead = addresses[1].to_string();
    let lives = |key: &&String| front.other.node_of(key.as_bytes()).as_ref() != Some(&dead);
    let expected: String = keys.iter().filter(lives).map(|key| format!("VALUE {key} 0 1\r\n1\r\n")).collect();
    assert!(expected.len() > 300, "other nodes have keys");
    raw.send(format!("get {}\r\n", keys.join(" ")).as_bytes());
    assert_eq!(text(&raw.read_exactly(expected.len() + 5)), text(format!("{expected}END\r\n").as_bytes()));
}
