//! The demo, short: the whole story through real sockets, with the daemon killed half-way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;

use forebay_acceptance::programs::forebay;

#[test]
fn the_demo_loses_nothing_and_serves_nothing_stale_over_a_kill() {
    let output = Command::new(forebay()).args(["demo", "--seconds", "8"]).output().expect("the demo starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    println!("{text}");
}
