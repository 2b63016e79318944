//! Pinned results through a real client: what was answered is there after kill -9, whatever the cache had to forget.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use forebay_acceptance::client::Client;
use forebay_acceptance::daemon::Daemon;
use forebay_acceptance::memcached::near::NearFront;
use forebay_acceptance::programs::{python, torture};
use forebay_acceptance::raw::{Raw, text};

/// The pymemcache program, which says what it was answered and later checks it.
fn client(daemon: &Daemon, mode: &str, journal: &str) -> Client {
    Client::start(python("memcached/pymemcache_pinned.py").args([
        &daemon.memcached.to_string(),
        mode,
        journal,
    ]))
}

#[test]
fn pymemcache_finds_every_result_it_was_answered_for_after_kill_9() {
    let data = tempfile::tempdir().unwrap();
    let journal = data.path().join("journal");
    let journal = journal.to_str().unwrap();
    let mut daemon = Daemon::start(&data.path().join("data"));
    let rounds = if torture() { 100 } else { 5 };
    for _ in 0..rounds {
        let mut writer = client(&daemon, "write", journal);
        // Killed in the middle of its work, after it was answered so often.
        for _ in 0..300 {
            assert_eq!(writer.line().as_deref(), Some("answered"));
        }
        daemon.kill();
        writer.kill();
        daemon.restart();
        let end = client(&daemon, "check", journal).end();
        assert!(end.status.success() && end.said.contains("all well"), "{}", end.all());
    }
    assert!(daemon.stop(), "the daemon stops cleanly");
}

#[test]
fn a_full_budget_is_out_of_memory_and_takes_nothing_that_is_there() {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start_with(data.path(), &["--pinned-memory", "1MiB", "--pinned", "job:"]);
    let mut raw = Raw::connect(daemon.memcached);
    let value = "v".repeat(100_000);
    let answers: Vec<_> = (0..12)
        .map(|number| raw.ask(format!("set job:{number} 0 0 100000\r\n{value}\r\n").as_bytes()))
        .collect();
    let stored = answers.iter().take_while(|answer| *answer == b"STORED\r\n").count();
    assert!((9..=10).contains(&stored), "{stored}");
    assert!(
        answers[stored..].iter().all(|answer| answer == b"SERVER_ERROR out of memory storing object\r\n")
    );
    for number in 0..stored {
        assert_eq!(raw.ask(format!("mg job:{number} s\r\n").as_bytes()), b"HD s100000\r\n");
    }
    assert_eq!(raw.ask(b"set celery-task-meta-1 0 0 1\r\nx\r\n"), b"STORED\r\n", "not pinned here");
    assert_eq!(raw.ask(b"flush_all\r\nmg job:0\r\nmg celery-task-meta-1\r\n"), b"OK\r\nHD\r\nEN\r\n");
    assert!(daemon.stop(), "the daemon stops cleanly");
}

#[test]
fn the_http_cache_answers_for_a_pinned_key_once_it_is_durable() {
    let data = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(data.path());
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let key = |daemon: &Daemon, name: &str| format!("http://{}/v1/cache/{name}", daemon.http);
    for name in ["task:1", "task:2", "page:1"] {
        let put = agent.put(key(&daemon, name)).send(&b"done"[..]).unwrap();
        assert_eq!(put.status(), 204);
    }
    assert_eq!(agent.delete(key(&daemon, "task:2")).call().unwrap().status(), 204);
    daemon.kill();
    daemon.restart();
    let mut found = agent.get(key(&daemon, "task:1")).call().unwrap();
    assert_eq!((found.status().as_u16(), found.body_mut().read_to_vec().unwrap()), (200, b"done".to_vec()));
    for name in ["task:2", "page:1"] {
        assert_eq!(agent.get(key(&daemon, name)).call().unwrap().status(), 404, "{name}");
    }
    assert!(daemon.stop(), "the daemon stops cleanly");
}

/// A daemon gives versions of its own to what it pins, and takes those of a client for the rest: a store of memcacheds has both on
/// one server.
#[test]
fn a_near_cache_before_a_daemon_works_on_pinned_keys_and_others() {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start_with(data.path(), &["--pinned", "job:"]);
    let front = NearFront::start(&[daemon.memcached]);
    let settings = |address| text(&Raw::connect(address).ask(b"stats settings\r\n"));
    // What relies on a whole flush is to know of neither.
    assert!(settings(daemon.memcached).contains("STAT flush_leaves_pinned yes"), "it pins keys");
    assert!(settings(front.address).contains("STAT flush_enabled no"), "it takes no flush");
    let mut raw = Raw::connect(front.address);
    for key in ["job:1", "other"] {
        let mut ask = |question: &str, expected: &str| {
            let answer = raw.ask(question.replace("KEY", key).as_bytes());
            let expected = expected.replace("KEY", key);
            assert_eq!(text(&answer), text(expected.as_bytes()), "{question} of {key}");
        };
        ask("set KEY 5 0 2\r\nhi\r\nget KEY\r\n", "STORED\r\nVALUE KEY 5 2\r\nhi\r\nEND\r\n");
        ask("add KEY 0 0 1\r\nx\r\n", "NOT_STORED\r\n");
        ask("append KEY 0 0 1\r\n!\r\nget KEY\r\n", "STORED\r\nVALUE KEY 5 3\r\nhi!\r\nEND\r\n");
        ask("cas KEY 0 0 1 7\r\nx\r\n", "EXISTS\r\n");
        ask(
            "set KEY 0 0 1\r\n5\r\nincr KEY 3\r\nget KEY\r\n",
            "STORED\r\n8\r\nVALUE KEY 0 1\r\n8\r\nEND\r\n",
        );
        ask("touch KEY 100\r\ndelete KEY\r\nget KEY\r\n", "TOUCHED\r\nDELETED\r\nEND\r\n");
        ask("replace KEY 0 0 1\r\nx\r\n", "NOT_STORED\r\n");
        let granted = text(&raw.ask(format!("mg {key} v c N30\r\n").as_bytes()));
        let version =
            granted.split_once('c').and_then(|(_, rest)| rest.split(' ').next()).unwrap().to_owned();
        assert!(granted.starts_with("VA 0") && granted.contains('W'), "{granted}");
        let mut ask = |question: &str, expected: &str| {
            let question = question.replace("KEY", key).replace("VERSION", &version);
            assert_eq!(text(&raw.ask(question.as_bytes())), text(expected.as_bytes()), "{question}");
        };
        ask("ms KEY 6 CVERSION\r\nloaded\r\n", "HD\r\n");
        ask("mg KEY v\r\n", "VA 6\r\nloaded\r\n");
    }
    assert!(daemon.stop(), "the daemon stops cleanly");
}
