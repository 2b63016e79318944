//! What was confirmed is there again, however the daemon ended.

use crate::process::{Daemon, serve};

/// Publishes, takes one and acknowledges it, takes another and keeps it.
fn fill(daemon: &Daemon) {
    daemon.does(&["queue", "create", "q", "--attempt-max", "3"]);
    for payload in ["done", "held", "waiting"] {
        daemon.does(&["queue", "publish", "q", payload]);
    }
    assert!(daemon.does(&["queue", "receive", "q", "--ack"]).contains("done"));
    assert!(daemon.does(&["queue", "receive", "q", "--hold", "1h"]).contains("held"));
    daemon.does(&["queue", "publish", "q", "late", "--delay", "1h"]);
    assert_eq!(daemon.ask("PUT", "/v1/cache/k", "v").0, 204);
}

fn check(daemon: &Daemon) {
    let shown = daemon.does(&["queue", "show", "q"]);
    let field = |name: &str| {
        let line = shown.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{shown}"));
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!((field("attempt_max"), field("delayed")), ("3".into(), "1".into()));
    let there = field("ready").parse::<u32>().unwrap() + field("held").parse::<u32>().unwrap();
    assert_eq!(there, 2, "the acknowledged one is gone, the others are there: {shown}");
    let waiting = daemon.does(&["queue", "peek", "q"]);
    assert!(waiting.contains("waiting") && !waiting.contains("done"), "{waiting}");
    assert_eq!(daemon.ask("GET", "/v1/cache/k", "").0, 404, "the cache may forget");
}

#[test]
fn a_restart_keeps_every_message() {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    fill(&daemon);
    daemon.stop();
    let daemon = Daemon::start(data.path());
    check(&daemon);
    daemon.stop();
}

#[test]
fn kill_9_keeps_every_message_that_was_confirmed() {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    fill(&daemon);
    daemon.kill();
    let daemon = Daemon::start(data.path());
    check(&daemon);
    daemon.kill();
    check(&Daemon::start(data.path()));
}

#[test]
fn a_warm_restart_brings_the_cache_back_once() {
    let data = tempfile::tempdir().unwrap();
    let warm = || Daemon::run(serve(data.path()).args(["--warm-restart", "true"]));
    let value = |daemon: &Daemon| daemon.ask("GET", "/v1/cache/k", "").0;
    let daemon = warm();
    assert_eq!(daemon.ask("PUT", "/v1/cache/k", "v").0, 204);
    daemon.stop();
    let daemon = warm();
    assert_eq!(daemon.ask("GET", "/v1/cache/k", ""), (200, "v".into()));
    daemon.kill();
    let daemon = warm();
    assert_eq!(value(&daemon), 404, "what happened before the kill is not known");
    assert_eq!(daemon.ask("PUT", "/v1/cache/k", "v").0, 204);
    daemon.stop();
    Daemon::start(data.path()).stop();
    assert_eq!(value(&warm()), 404, "a run without it lies between");
}
