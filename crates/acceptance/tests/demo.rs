//! The demo, short: the whole story through real sockets, with the daemon killed half-way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;

use forebay_acceptance::programs::{forebay, run};

#[test]
fn the_demo_loses_nothing_and_serves_nothing_stale_over_a_kill() {
    println!("{}", run(Command::new(forebay()).args(["demo", "--seconds", "8"])));
}
