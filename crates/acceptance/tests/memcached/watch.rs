//! What is there, and what happens: `lru_crawler metadump` and `watch` beside memcached's own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use forebay_acceptance::front::Front;
use forebay_acceptance::memcached::differential::lines;
use forebay_acceptance::raw::{Raw, text};
use forebay_contract::servers::memcached::Memcached;

/// Entries in a dump that takes many turns.
const MANY: usize = 30_000;
/// Connections that may watch.
const WATCHERS_MAX: usize = 20;

/// The first line that is answered to each command, on a connection of its own. memcached lets go of some of them after it.
fn first_lines(address: SocketAddr, commands: &[&str]) -> Vec<String> {
    let answer = |command: &&str| {
        let mut raw = Raw::connect(address);
        raw.send(format!("{command}\r\n").as_bytes());
        format!("{command}: {}", raw.read_line())
    };
    commands.iter().map(answer).collect()
}

#[test]
fn lru_crawler_and_watch_are_answered_alike() {
    let (memcached, front) = (Memcached::start(), Front::start());
    let [expected, answered] = [memcached.address, front.address].map(|address| {
        first_lines(
            address,
            &[
                "lru_crawler",
                "lru_crawler nonsense",
                "lru_crawler mgdump",
                "lru_crawler enable",
                "lru_crawler enable x",
                "lru_crawler sleep",
                "lru_crawler sleep 100",
                "lru_crawler sleep 1000000",
                "lru_crawler sleep 1000001",
                "lru_crawler sleep -1",
                "lru_crawler sleep x",
                "lru_crawler sleep 1 2",
                "lru_crawler tocrawl",
                "lru_crawler tocrawl 5",
                "lru_crawler tocrawl 99999999999",
                "lru_crawler tocrawl -1",
                "lru_crawler crawl",
                "lru_crawler crawl 0",
                "lru_crawler crawl 64",
                "lru_crawler crawl 1,99",
                "lru_crawler crawl x",
                "lru_crawler crawl 1x",
                "lru_crawler metadump",
                "lru_crawler metadump all extra",
                "lru_crawler metadump 0",
                "lru_crawler metadump 64",
                "lru_crawler metadump 1,99",
                "lru_crawler metadump x",
                "watch nonsense",
                "watch fetchers nonsense",
                "watch nonsense fetchers",
                "watch",
                "watch fetchers mutations evictions connevents",
                "watch rawcmds sysevents",
            ],
        )
    });
    assert_eq!(answered, expected);
}

// No differential test: memcached's crawler is a thread, and what it answers after it was stopped differs from time to time.
#[test]
fn dumps_may_be_turned_off() {
    let front = Front::start();
    let mut raw = Raw::connect(front.address);
    let disabled = "CLIENT_ERROR lru crawler disabled";
    for (command, expected) in [
        ("lru_crawler disable", "OK"),
        ("lru_crawler metadump all", disabled),
        ("lru_crawler crawl 1", disabled),
        ("lru_crawler enable", "OK"),
        ("lru_crawler metadump all", "END"),
    ] {
        assert_eq!(
            text(&raw.ask(format!("{command}\r\n").as_bytes())),
            text(format!("{expected}\r\n").as_bytes())
        );
    }
}

/// The lines of a dump, by key, as their other words.
fn dump(raw: &mut Raw, command: &str) -> BTreeMap<String, Vec<(String, String)>> {
    raw.send(format!("{command}\r\n").as_bytes());
    let mut answer = Vec::new();
    while !answer.ends_with(b"END\r\n") {
        answer.extend(raw.read());
    }
    let answer = String::from_utf8(answer).unwrap();
    let list = answer.strip_suffix("END\r\n").expect("a dump has an end");
    let mut entries = BTreeMap::new();
    for line in list.split_terminator('\n') {
        let mut words = line
            .split(' ')
            .map(|word| word.split_once('=').unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (name, key) = words.next().unwrap();
        assert_eq!(name, "key");
        assert!(entries.insert(key, words.collect()).is_none(), "{line} comes twice");
    }
    entries
}

#[test]
fn an_entry_is_dumped_as_memcached_dumps_it() {
    let (memcached, front) = (Memcached::start(), Front::start());
    let dumped = |address: SocketAddr| {
        let mut raw = Raw::connect(address);
        raw.ask(
            lines(&[
                "set plain 0 0 5",
                "value",
                "set read 5 2000000000 3",
                "abc",
                "get read",
                "set over 0 -1 1",
                "x",
                "set gone 0 0 1",
                "x",
                "delete gone",
                "set a%20b/~c 0 0 0",
                "",
                "ms w7wK b S2",
                "hi",
                "mg vivified N0",
            ])
            .as_bytes(),
        );
        for (class, some) in [("all", true), ("hash", true), ("1", true), ("1,5", true), ("40", false)] {
            assert_eq!(dump(&mut raw, &format!("lru_crawler metadump {class}")).is_empty(), !some, "{class}");
        }
        dump(&mut raw, "lru_crawler metadump all")
    };
    let (expected, answered) = (dumped(memcached.address), dumped(front.address));
    assert_eq!(answered.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (key, words) in &answered {
        for ((name, value), (expected_name, expected_value)) in words.iter().zip(&expected[key]) {
            assert_eq!(name, expected_name, "{key}");
            match name.as_str() {
                // Versions are each server's own. Two seconds may be between the two.
                "cas" => assert!(value.parse::<u64>().unwrap() > 0),
                "la" => {
                    assert!(value.parse::<u64>().unwrap().abs_diff(expected_value.parse().unwrap()) <= 60)
                }
                _ => assert_eq!(value, expected_value, "{name} of {key}"),
            }
        }
        assert_eq!(words.len(), expected[key].len());
    }
}

#[test]
fn a_dump_of_many_is_whole_while_others_write() {
    let front = Front::start();
    let (mut raw, mut other) = (Raw::connect(front.address), Raw::connect(front.address));
    let writes: String =
        (0..MANY).map(|number| format!("set stays{number} 0 0 1 noreply\r\nx\r\n")).collect();
    raw.ask(writes.as_bytes());
    raw.send(b"lru_crawler metadump all\r\nversion\r\n");
    // As long as the dump is not read it cannot go on, and what is asked for behind it waits for its end.
    for round in 0..50 {
        let more: String = (0..100).map(|number| format!("set new{round}-{number} 0 0 1\r\nx\r\n")).collect();
        assert_eq!(other.ask(more.as_bytes()), b"STORED\r\n".repeat(100));
    }
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n") || !text(&answer[answer.len().saturating_sub(40)..]).contains("VERSION")
    {
        let read = raw.read();
        assert!(!read.is_empty(), "it ended");
        answer.extend_from_slice(&read);
    }
    let answer = String::from_utf8(answer).unwrap();
    let keys: Vec<&str> =
        answer.lines().filter_map(|line| line.strip_prefix("key=")?.split(' ').next()).collect();
    let different: BTreeSet<&str> = keys.iter().copied().collect();
    assert_eq!(different.len(), keys.len(), "some came twice");
    assert!((0..MANY).all(|number| different.contains(format!("stays{number}").as_str())));
}

/// Events of a watcher up to the first that holds `last`, in their order, without what differs from run to run.
fn events(watcher: &mut Raw, last: &str) -> Vec<String> {
    let mut bytes = Vec::new();
    while !text(&bytes).contains(last) || !bytes.ends_with(b"\n") {
        let read = watcher.read();
        assert!(!read.is_empty(), "the watcher was closed after {}", text(&bytes));
        bytes.extend_from_slice(&read);
    }
    let lines = String::from_utf8(bytes).unwrap();
    let mut numbered: Vec<(u64, String)> = lines
        .lines()
        .map(|line| {
            let mut number = 0;
            let words: Vec<String> = line
                .split(' ')
                .filter_map(|word| {
                    let (name, value) = word.split_once('=').unwrap();
                    match name {
                        "ts" => assert!(value.parse::<f64>().unwrap() > 1_700_000_000.0),
                        "gid" => number = value.parse().unwrap(),
                        // Classes are ours, and of each size there.
                        "clsid" => {
                            return Some(format!("{name}={}", if value == "0" { "none" } else { "some" }));
                        }
                        "rport" | "cfd" => return Some(name.to_owned()),
                        _ => return Some(word.to_owned()),
                    }
                    None
                })
                .collect();
            (number, words.join(" "))
        })
        .collect();
    numbered.sort();
    let mut lines: Vec<String> = numbered.into_iter().map(|(_, line)| line).collect();
    // What follows it may have come with it or not.
    let end = lines.iter().position(|line| line.contains(last)).map_or(lines.len(), |last| last + 1);
    lines.truncate(end);
    lines
}

/// A connection that watches.
fn watch(address: SocketAddr, what: &str) -> Raw {
    let mut watcher = Raw::connect(address);
    watcher.send(format!("watch{what}\r\n").as_bytes());
    assert_eq!(text(&watcher.read()), text(b"OK\r\n"));
    watcher
}

fn assert_same_events(what: &str, commands: &[&str]) {
    let (memcached, front) = (Memcached::start(), Front::start());
    let [expected, answered] = [memcached.address, front.address].map(|address| {
        let mut watcher = watch(address, what);
        let mut raw = Raw::connect(address);
        // One at a time: memcached numbers those of one command in their order, and ours are asked as often.
        for command in commands {
            raw.send(format!("{command}\r\nmn\r\n").as_bytes());
            let mut answer = Vec::new();
            while !answer.ends_with(b"MN\r\n") {
                answer.extend(raw.read());
            }
        }
        raw.send(b"set the-end 0 0 1\r\nx\r\n");
        raw.read();
        events(&mut watcher, "key=the-end")
    });
    assert_eq!(answered, expected, "{what}");
    assert!(!answered.is_empty());
}

const COMMANDS: [&str; 36] = [
    "set a 0 100 2\r\nhi",
    "get a",
    "get none",
    "gets a none a",
    "gat 100 a",
    "add a 0 0 1\r\nx",
    "add b%c 5 0 1\r\nx",
    "replace none 0 0 1\r\nx",
    "replace b%c 0 0 3\r\nabc",
    "append a 0 0 1\r\nx",
    "append none 0 0 1\r\nx",
    "prepend a 0 0 1\r\nx",
    "cas a 0 0 1 99\r\nx",
    "cas none 0 0 1 99\r\nx",
    "incr n 1",
    "set n 0 0 1\r\n5",
    "incr n 1",
    "incr n 10",
    "decr n 1",
    "delete n",
    "delete n",
    "touch a 50",
    "touch none 50",
    "mg a v",
    "mg none v",
    "mg none v k q",
    "mg vivified v N100",
    "mg vivified v",
    "ms a 2\r\nhi",
    "ms a 2 ME\r\nhi",
    "ms a 2 C5\r\nhi",
    "ma n",
    "ma a2 N0",
    "md a",
    "get a",
    "flush_all",
];

#[test]
fn fetchers_are_told_what_memcacheds_are() {
    assert_same_events("", &[&COMMANDS[..], &["set last 0 0 1\r\nx", "get the-end"]].concat());
}

#[test]
fn mutations_are_told_as_memcacheds_are() {
    assert_same_events(" mutations", &COMMANDS);
}

#[test]
fn connections_are_told_of() {
    let (memcached, front) = (Memcached::start(), Front::start());
    for address in [memcached.address, front.address] {
        let mut watcher = watch(address, " connevents");
        let no_magic = [&[0x80, 0x0a][..], &[0; 46]].concat();
        let ends: [(&[u8], &str); 4] =
            [(b"", "normal"), (b"quit\r\n", "normal"), (&[b'x'; 4_096], "error"), (&no_magic, "error")];
        for (sent, reason) in ends {
            let mut raw = Raw::connect(address);
            raw.send(sent);
            // What ends by itself has ended before its client goes.
            while !sent.is_empty() && !raw.read().is_empty() {}
            drop(raw);
            let told = events(&mut watcher, "type=conn_close");
            assert_eq!(
                told,
                [
                    "type=conn_new rip=127.0.0.1 rport transport=tcp cfd".to_owned(),
                    format!("type=conn_close rip=127.0.0.1 rport transport=tcp reason={reason} cfd"),
                ],
                "{address} {sent:?}"
            );
        }
    }
}

#[test]
fn evictions_are_told_of_with_every_key_that_went() {
    let (memcached, front) = (Memcached::start(), Front::start());
    for address in [memcached.address, front.address] {
        let mut watcher = watch(address, " evictions");
        let mut raw = Raw::connect(address);
        raw.ask(b"cache_memlimit 8\r\n");
        let value = "x".repeat(10_000);
        for round in 0..40 {
            let writes: String = (0..50)
                .map(|number| format!("set key{} 0 500 10000 noreply\r\n{value}\r\n", round * 50 + number))
                .collect();
            raw.ask(writes.as_bytes());
        }
        let told = events(&mut watcher, "type=eviction");
        for line in told.iter().filter(|line| line.starts_with("type=eviction")) {
            let words: Vec<&str> = line.split(' ').collect();
            let names: Vec<&str> = words.iter().map(|word| word.split('=').next().unwrap()).collect();
            assert_eq!(names, ["type", "key", "fetch", "ttl", "la", "clsid", "size"], "{address}: {line}");
            assert!(
                words[1].starts_with("key=key") && words[2] == "fetch=no" && words[6] == "size=10000",
                "{line}"
            );
        }
    }
}

#[test]
fn as_many_may_watch_as_with_memcached() {
    let (memcached, front) = (Memcached::start(), Front::start());
    for address in [memcached.address, front.address] {
        let watchers: Vec<Raw> = (0..WATCHERS_MAX).map(|_| watch(address, " connevents")).collect();
        let mut refused = Raw::connect(address);
        refused.send(b"watch fetchers\r\n");
        assert_eq!(
            text(&refused.read()),
            text(b"WATCHER_TOO_MANY log watcher limit reached\r\n"),
            "{address}"
        );
        drop(watchers);
    }
}

#[test]
fn who_watches_is_not_listened_to_and_may_go() {
    let front = Front::start();
    let mut watcher = watch(front.address, " fetchers");
    watcher.send(b"get by-the-watcher\r\nquit\r\n");
    let mut raw = Raw::connect(front.address);
    raw.ask(b"get by-another\r\n");
    let told = events(&mut watcher, "end-of-answer");
    assert!(told.iter().all(|line| !line.contains("by-the-watcher")), "{told:?}");
    assert!(told.first().is_some_and(|line| line.contains("by-another")), "{told:?}");
    drop(watcher);
    // Its place is free again, which is seen in its own time.
    while !text(&raw.ask(b"stats\r\n")).contains("log_watchers 0") {
        std::thread::yield_now();
    }
}
