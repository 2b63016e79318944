//! The HTTP API held against its own document.

use std::process::Command;

use forebay_acceptance::daemon::Daemon;
use forebay_acceptance::programs::{run, tool};

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
