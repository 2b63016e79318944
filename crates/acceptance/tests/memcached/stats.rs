//! `stats` beside memcached's own: the same names in the same order, values of the same type, and the same counts.

use std::net::SocketAddr;

use forebay_acceptance::front::Front;
use forebay_acceptance::raw::{Raw, text};
use forebay_contract::servers::memcached::Memcached;

/// Names and values of one section.
fn stats(raw: &mut Raw, section: &str) -> Vec<(String, String)> {
    let answer = String::from_utf8(raw.ask(format!("stats{section}\r\n").as_bytes())).unwrap();
    let list = answer.strip_suffix("END\r\n").expect("a list has an end");
    list.lines()
        .map(|line| {
            let (name, value) = line.strip_prefix("STAT ").unwrap().split_once(' ').unwrap();
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

fn names(stats: &[(String, String)]) -> Vec<&str> {
    stats.iter().map(|(name, _)| name.as_str()).collect()
}

/// How a client may parse a value.
#[derive(Debug, PartialEq, Eq)]
enum Type {
    Whole,
    Fraction,
    Switch,
    Text,
}

fn type_of(value: &str) -> Type {
    if value.parse::<i64>().is_ok() {
        Type::Whole
    } else if value.parse::<f64>().is_ok() {
        Type::Fraction
    } else if ["yes", "no", "on", "off"].contains(&value) {
        Type::Switch
    } else {
        Type::Text
    }
}

fn assert_same_names_and_types(section: &str) {
    let (memcached, front) = (Memcached::start(), Front::start());
    let asked = |address: SocketAddr| {
        let mut raw = Raw::connect(address);
        raw.ask(b"set a 0 0 1\r\nx\r\nget a\r\n");
        stats(&mut raw, section)
    };
    let (expected, answered) = (asked(memcached.address), asked(front.address));
    assert_eq!(names(&answered), names(&expected));
    for ((name, answered), (_, expected)) in answered.iter().zip(&expected) {
        assert_eq!(type_of(answered), type_of(expected), "{name}: {answered} beside {expected}");
    }
}

#[test]
fn general_names_and_types_are_memcacheds() {
    assert_same_names_and_types("");
}

#[test]
fn names_and_types_of_settings_are_memcacheds() {
    assert_same_names_and_types(" settings");
}

#[test]
fn names_and_types_of_items_are_memcacheds() {
    assert_same_names_and_types(" items");
}

#[test]
fn names_and_types_of_slabs_are_memcacheds() {
    assert_same_names_and_types(" slabs");
}

#[test]
fn names_of_connections_are_memcacheds() {
    let (memcached, front) = (Memcached::start(), Front::start());
    let asked = |address: SocketAddr| {
        let mut raw = Raw::connect(address);
        raw.ask(b"mn\r\n");
        let stats = stats(&mut raw, " conns");
        // A connection's number is the server's own, and with it the order.
        let mut names: Vec<_> =
            stats.iter().map(|(name, _)| name.split_once(':').unwrap().1.to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(asked(front.address), asked(memcached.address));
}

#[test]
fn what_a_client_does_is_shown_as_memcached_shows_it() {
    let (memcached, front) = (Memcached::start(), Front::start());
    let asked = |address: SocketAddr| {
        let (mut watcher, mut raw) = (Raw::connect(address), Raw::connect(address));
        watcher.send(b"watch mutations\r\n");
        assert_eq!(watcher.read_line(), "OK");
        raw.ask(b"set a 0 0 1\r\nx\r\nlru_crawler disable\r\n");
        let mut told = Vec::new();
        while !told.ends_with(b"\n") {
            told.extend(watcher.read());
        }
        let find = |raw: &mut Raw, section: &str, name: &str| {
            let stats = stats(raw, section);
            stats.into_iter().find(|(shown, _)| shown == name).unwrap()
        };
        let mut shown = vec![find(&mut raw, " settings", "lru_crawler")];
        shown.push(find(&mut raw, " settings", "watcher_logbuf_size"));
        shown.push(find(&mut raw, "", "log_watchers"));
        raw.ask(b"stats reset\r\n");
        for name in ["log_worker_written", "log_watcher_sent", "log_watcher_skipped", "log_watchers"] {
            shown.push(find(&mut raw, "", name));
        }
        let states = stats(&mut raw, " conns");
        let watches = states.iter().any(|(name, state)| name.ends_with(":state") && state == "conn_watch");
        (shown, watches)
    };
    let expected = asked(memcached.address);
    assert!(expected.1, "memcached shows who watches");
    assert_eq!(asked(front.address), expected);
}

#[test]
fn commands_are_counted_as_memcached_counts_them() {
    const COUNTS: [&str; 27] = [
        "cmd_get",
        "cmd_set",
        "cmd_flush",
        "cmd_touch",
        "cmd_meta",
        "get_hits",
        "get_misses",
        "delete_misses",
        "delete_hits",
        "incr_misses",
        "incr_hits",
        "decr_misses",
        "decr_hits",
        "cas_misses",
        "cas_hits",
        "cas_badval",
        "touch_hits",
        "touch_misses",
        "store_too_large",
        "store_no_memory",
        "auth_cmds",
        "auth_errors",
        "curr_items",
        "total_items",
        "curr_connections",
        "evictions",
        "reclaimed",
    ];
    let commands = [
        "flush_all\r\nset a 0 0 1\r\nx\r\nadd a 0 0 1\r\nx\r\nreplace a 0 0 1\r\nx\r\nappend a 0 0 1\r\nx\r\n",
        "replace none 0 0 1\r\nx\r\nget a none a\r\ngets a\r\ngat 0 a none\r\ntouch a 0\r\ntouch none 0\r\n",
        "delete none\r\nincr none 1\r\ndecr none 1\r\nset n 0 0 1\r\n5\r\nincr n 1\r\ndecr n 1\r\nincr a 1\r\n",
        "cas a 0 0 1 1\r\nx\r\ncas none 0 0 1 1\r\nx\r\nset a 0 0 3\r\nabcd\r\nset b 0 0 1\r\nx\r\ndelete b\r\n",
        "mg a\r\nmg none\r\nmg none q\r\nmg a T100\r\nmg none T100\r\nmg v N100\r\nmg v N100\r\nme a\r\nme none\r\n",
        "ms a 1\r\nx\r\nms a 1 C1\r\nx\r\nms none 1 C1\r\nx\r\nms a 1 MA C1\r\nx\r\nmd none\r\nmd a C1\r\nmd a I\r\n",
        "ma n\r\nma n MD\r\nma none\r\nma none MD\r\nma m N100\r\nma n C1\r\nmd a\r\nget \r\nbogus\r\nmn\r\n",
    ];
    let (memcached, front) = (Memcached::start(), Front::start());
    let mut ask_both = [memcached.address, front.address].map(Raw::connect);
    for command in commands {
        for raw in &mut ask_both {
            raw.ask(command.as_bytes());
        }
        let [expected, answered] = ask_both.each_mut().map(|raw| {
            let counts = stats(raw, "");
            let counts = counts.iter().filter(|(name, _)| COUNTS.contains(&name.as_str()));
            counts.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>()
        });
        assert_eq!(answered, expected, "after {}", text(command.as_bytes()));
    }
    for raw in &mut ask_both {
        let version = raw.ask(b"gets n\r\n");
        let version = String::from_utf8(version).unwrap();
        let version = version.lines().next().unwrap().split(' ').nth(4).unwrap().to_owned();
        raw.ask(format!("cas n 0 0 1 {version}\r\n7\r\n").as_bytes());
        assert!(stats(raw, "").contains(&("cas_hits".to_owned(), "1".to_owned())));
    }
}

#[test]
fn a_new_memory_limit_is_shown_where_memcached_shows_it() {
    let (memcached, front) = (Memcached::start(), Front::start());
    let asked = |address: SocketAddr| {
        let mut raw = Raw::connect(address);
        let mut shown = Vec::new();
        for command in
            ["", "cache_memlimit 100", "cache_memlimit 7", "cache_memlimit 8 noreply", "cache_memlimit 64"]
        {
            if command.ends_with("noreply") {
                raw.send(format!("{command}\r\n").as_bytes());
            } else if !command.is_empty() {
                shown.push((command.to_owned(), text(&raw.ask(format!("{command}\r\n").as_bytes()))));
            }
            let limits = [("", "limit_maxbytes"), (" settings", "maxbytes")];
            shown.extend(limits.map(|(section, name)| {
                let stats = stats(&mut raw, section);
                stats.into_iter().find(|(shown, _)| shown == name).unwrap()
            }));
        }
        shown
    };
    assert_eq!(asked(front.address), asked(memcached.address));
}

#[test]
fn a_smaller_memory_limit_keeps_the_newest_and_a_larger_one_has_room_for_more() {
    const MIB: u64 = 1024 * 1024;
    let front = Front::start();
    let mut raw = Raw::connect(front.address);
    let value = "v".repeat(10_000);
    let fill = |raw: &mut Raw, name: &str| {
        for number in 0..5_000 {
            raw.send(format!("set {name}{number} 0 0 10000 noreply\r\n{value}\r\n").as_bytes());
        }
        raw.ask(format!("get {name}4999\r\n").as_bytes()).len() > 10_000
    };
    let bytes = |raw: &mut Raw| -> u64 {
        let stats = stats(raw, "");
        stats.iter().find(|(name, _)| name == "bytes").unwrap().1.parse().unwrap()
    };
    assert!(fill(&mut raw, "a"));
    assert!(bytes(&mut raw) > 40 * MIB);
    assert_eq!(raw.ask(b"cache_memlimit 16\r\n"), b"OK\r\n");
    assert!((12 * MIB..=16 * MIB).contains(&bytes(&mut raw)), "{} bytes", bytes(&mut raw));
    assert!(fill(&mut raw, "b"));
    assert!(bytes(&mut raw) <= 16 * MIB);
    assert_eq!(raw.ask(b"cache_memlimit 128\r\n"), b"OK\r\n");
    assert!(fill(&mut raw, "c") && fill(&mut raw, "d"));
    assert!(bytes(&mut raw) > 90 * MIB, "{} bytes", bytes(&mut raw));
    assert_eq!(raw.ask(b"flush_all\r\n"), b"OK\r\n");
    assert_eq!(bytes(&mut raw), 0);
}

#[test]
fn a_version_can_be_read_by_clients() {
    let front = Front::start();
    let answer = String::from_utf8(Raw::connect(front.address).ask(b"version\r\n")).unwrap();
    let version = answer.strip_prefix("VERSION ").unwrap().trim_end();
    // libmemcached takes three numbers between dots; others want exactly three parts.
    let parts: Vec<&str> = version.split('.').collect();
    assert_eq!(parts.len(), 3, "{version}");
    assert!(parts[0].parse::<u32>().unwrap() >= 1 && parts[1].parse::<u32>().unwrap() >= 4, "{version}");
    assert!(parts[2].starts_with(|first: char| first.is_ascii_digit()), "{version}");
}
