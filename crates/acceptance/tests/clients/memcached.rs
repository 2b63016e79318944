//! Memcached clients.

use std::process::Command;

use forebay_acceptance::daemon::Daemon;
use forebay_acceptance::programs::{python, run, session};

fn python_session(script: &str) {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    session(python(script).arg(daemon.memcached.to_string()));
    assert!(daemon.stop(), "the daemon stops cleanly");
}

#[test]
fn pymemcache_runs_unchanged() {
    python_session("pymemcache_session.py");
}

#[test]
fn python_memcached_runs_unchanged() {
    python_session("python_memcached_session.py");
}

#[test]
fn memccapable_finds_the_text_protocol_capable() {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    let text = run(Command::new("memccapable").args([
        "-h",
        "127.0.0.1",
        "-p",
        &daemon.memcached.port().to_string(),
        "-a",
    ]));
    assert!(text.contains("All tests passed"), "{text}");
}
