//! Memcached clients, and the HTTP API held against its own document.

use std::process::Command;

use forebay_acceptance::daemon::Daemon;
use forebay_acceptance::programs::{python, run, session, tool};

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

#[test]
fn every_answer_of_the_http_api_is_as_its_openapi_document_says() {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    let scratch = tempfile::tempdir().unwrap();
    run(Command::new(tool("schemathesis"))
        .args(["--config-file", concat!(env!("CARGO_MANIFEST_DIR"), "/schemathesis.toml")])
        .arg("run")
        .arg(format!("http://{}/openapi.json", daemon.http))
        .args(["--checks", "all", "--max-examples", "30", "--seed", "1", "--generation-database", "none"])
        .args(["--request-timeout", "40"])
        .current_dir(scratch.path()));
    assert!(daemon.stop(), "the daemon stops cleanly");
}
