//! Clients of memcached, unchanged, with the daemon in its place.

use std::fs;
use std::process::Command;

use forebay_acceptance::daemon::Daemon;
use forebay_acceptance::programs::{python, run, session};

/// A session with a fresh daemon, which has to stop cleanly after it.
fn python_session(script: &str) {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    session(python(script).arg(daemon.memcached.to_string()));
    assert!(daemon.stop(), "the daemon stops cleanly");
}

/// The same with a daemon that knows one user.
fn python_session_with_a_password(script: &str) {
    let data = tempfile::tempdir().unwrap();
    let users = data.path().join("users");
    fs::write(&users, "app:s3cret\n").unwrap();
    let daemon =
        Daemon::start_with(&data.path().join("data"), &["--memcached-users", users.to_str().unwrap()]);
    session(python(script).args([&daemon.memcached.to_string(), "app", "s3cret"]));
    assert!(daemon.stop(), "the daemon stops cleanly");
}

#[test]
fn pymemcache_runs_unchanged() {
    python_session("memcached/pymemcache_session.py");
}

#[test]
fn python_memcached_runs_unchanged() {
    python_session("memcached/python_memcached_session.py");
}

#[test]
fn pylibmc_runs_unchanged() {
    python_session("memcached/pylibmc_session.py");
}

#[test]
fn bmemcached_runs_unchanged() {
    python_session("memcached/bmemcached_session.py");
}

#[test]
fn bmemcached_says_who_it_is() {
    python_session_with_a_password("memcached/bmemcached_session.py");
}

/// `-a` are the tests of the text protocol, `-b` those of the binary.
fn memccapable(protocol: &str) {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    let port = daemon.memcached.port().to_string();
    let text = run(Command::new("memccapable").args(["-h", "127.0.0.1", "-p", &port, protocol]));
    assert!(text.contains("All tests passed"), "{text}");
}

#[test]
fn memccapable_finds_the_text_protocol_capable() {
    memccapable("-a");
}

#[test]
fn memccapable_finds_the_binary_protocol_capable() {
    memccapable("-b");
}
