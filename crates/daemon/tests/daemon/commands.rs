//! The operator commands against a running daemon.

use std::net::TcpListener;

use crate::process::{Daemon, forebay, printed};

/// What `forebay queue show` says of one thing.
fn field<'s>(shown: &'s str, name: &str) -> &'s str {
    let of_it = shown.lines().find_map(|line| line.strip_prefix(name).filter(|rest| rest.starts_with(' ')));
    of_it.unwrap_or_default().trim()
}

#[test]
fn a_message_goes_its_whole_way_by_hand() {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    assert_eq!(daemon.does(&["queue", "list"]).lines().count(), 1, "only the heads");
    let create = [
        "queue",
        "create",
        "a/b ü",
        "--attempt-max",
        "1",
        "--hold",
        "10m",
        "--dead-letter",
        "dead",
        "--length-max",
        "2",
    ];
    daemon.does(&create);
    daemon.does(&create);
    let shown = daemon.does(&["queue", "show", "a/b ü"]);
    assert_eq!([field(&shown, "hold"), field(&shown, "dead_letter")], ["10m", "dead"], "{shown}");

    let id =
        daemon.does(&["queue", "publish", "a/b ü", "tea", "--id", "m-1", "--header", "n=1", "--key", "k"]);
    assert_eq!(id, "m-1\n");
    let received = daemon.does(&["queue", "receive", "a/b ü", "--json"]);
    let delivery = received.split("\"delivery\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert!(received.contains(r#""headers":{"n":"1"}"#), "{received}");
    let nacked = daemon.does(&["queue", "nack", "a/b ü", &delivery, "--note", "no\u{1b}[2Jmilk"]);
    assert_eq!(nacked, "dead-lettered\n");
    let late = daemon.command(&["queue", "ack", "a/b ü", &delivery]);
    assert_eq!(late.status.code(), Some(1));
    assert!(printed(&late).1.contains("no longer held"));

    for arguments in [["queue", "dead-letters", "a/b ü"], ["queue", "peek", "dead"]] {
        let dead = daemon.does(&arguments);
        assert!(dead.contains("attempts_spent: no\\u{1b}[2Jmilk"), "made harmless: {dead}");
    }
    assert_eq!(daemon.does(&["queue", "redrive", "dead"]), "1 sent back\n");
    assert!(daemon.does(&["queue", "receive", "a/b ü", "--ack"]).contains("tea"));
    assert_eq!(daemon.does(&["queue", "purge", "a/b ü"]), "0 thrown away\n");
    daemon.does(&["queue", "delete", "a/b ü"]);
    let gone = daemon.command(&["queue", "show", "a/b ü"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(printed(&gone).1.contains("a/b ü"));
}

#[test]
fn a_queue_is_paused_and_a_message_found_by_hand() {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    daemon.does(&["queue", "create", "q", "--order", "key", "--dedup-window", "1h"]);
    daemon.does(&["queue", "create", "classes", "--priority-max", "9"]);
    let shown = daemon.does(&["queue", "show", "q"]);
    assert_eq!([field(&shown, "order"), field(&shown, "dedup_window")], ["key", "60m"], "{shown}");
    assert_eq!(field(&daemon.does(&["queue", "show", "classes"]), "priority_max"), "9");
    for id in ["a b", "again"] {
        daemon.does(&["queue", "publish", "q", "tea", "--id", id, "--key", "k", "--dedup-id", "once"]);
    }
    assert_eq!(daemon.does(&["queue", "pause", "q"]), "the queue is paused\n");
    assert_eq!(field(&daemon.does(&["queue", "show", "q"]), "paused"), "true");
    assert!(!daemon.does(&["queue", "receive", "q"]).contains("tea"));
    assert_eq!(daemon.does(&["queue", "resume", "q"]), "the queue goes on\n");
    let found = daemon.does(&["queue", "find", "q", "a b"]);
    assert!(found.contains("place            ready") && found.contains("payload          tea"), "{found}");
    assert_eq!(daemon.command(&["queue", "find", "q", "again"]).status.code(), Some(1), "it was not taken");
    assert!(daemon.does(&["queue", "receive", "q"]).contains("a b"));
    assert!(daemon.does(&["queue", "find", "q", "a b", "--json"]).contains(r#""place":"held""#));
}

#[test]
fn messages_come_from_standard_input_whole_or_line_by_line() {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    daemon.does(&["queue", "create", "q"]);
    assert!(daemon.command_with(&["queue", "publish", "q"], b"two\nlines\xff").status.success());
    let lines = daemon.command_with(&["queue", "publish", "q", "--lines"], b"one\n\ntwo\r\nthree");
    assert_eq!(printed(&lines).0.lines().count(), 3);
    let received = daemon.does(&["queue", "receive", "q", "--count", "10", "--json"]);
    assert!(received.contains("\"payload_base64\":\"dHdvCmxpbmVz/w==\""), "{received}");
    let place = |payload: &str| received.find(&format!("\"payload\":\"{payload}\"")).unwrap();
    assert!(place("one") < place("two") && place("two") < place("three"));
}

#[test]
fn values_are_set_and_got_by_hand() {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    assert_eq!(daemon.does(&["cache", "set", "user/7", "Ada", "--ttl", "1h"]), "");
    assert_eq!(daemon.does(&["cache", "get", "user/7"]), "Ada");
    assert_eq!(daemon.command(&["cache", "set", "user/7", "Bob", "--add"]).status.code(), Some(1));
    assert!(daemon.command_with(&["cache", "set", "raw"], &[0, 255, 10]).status.success());
    assert_eq!(daemon.command(&["cache", "get", "raw"]).stdout, [0, 255, 10]);
    assert!(daemon.does(&["cache", "stats"]).contains("hit ratio"));
    assert!(daemon.does(&["cache", "stats", "--json"]).starts_with('{'));
    let top = daemon.does(&["cache", "top"]);
    assert!(top.starts_with("key ") && top.lines().count() > 1, "{top}");
    assert!(daemon.does(&["cache", "top", "--json"]).starts_with("[{"));
    daemon.does(&["cache", "delete", "user/7"]);
    let absent = daemon.command(&["cache", "get", "user/7"]);
    assert_eq!((absent.status.code(), absent.stdout.len()), (Some(1), 0));
}

#[test]
fn where_no_daemon_is_the_command_says_how_to_start_one() {
    // A port that no system gives away by itself.
    let url = "http://127.0.0.1:1";
    let output = forebay().args(["queue", "list", "--url", url]).output().unwrap();
    let (_, said) = printed(&output);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(said, format!("forebay: no daemon answers at {url}; start one with: forebay serve\n"));
}

#[test]
fn where_something_else_listens_the_command_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stranger = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 16];
        stream.read_exact(&mut head).unwrap();
        stream.write_all(b"HTTP/1.1 418 Teapot\r\ncontent-length: 2\r\n\r\nhi").unwrap();
        stream
    });
    let output = forebay().args(["cache", "stats", "--url", &url]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(printed(&output).1.contains("is this a forebay daemon?"), "{}", printed(&output).1);
    drop(stranger.join().unwrap());
    let wrong = forebay().args(["queue", "list", "--url", "localhost:8080"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}
