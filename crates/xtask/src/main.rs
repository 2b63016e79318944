//! House rules and the test command: `cargo xtask tidy | test | torture | check | setup`.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod features;
mod steps;
mod tidy;
mod tools;

use std::path::PathBuf;
use std::process::ExitCode;

/// What went wrong, already in words for the person at the terminal.
type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    let root = root();
    let result = match std::env::args().nth(1).as_deref() {
        Some("tidy") => tidy::run(&root),
        Some("setup") => tools::install(&root),
        Some("check") => steps::check(&root),
        Some("test") => steps::test(&root),
        Some("torture") => steps::torture(&root),
        _ => Err("say one of: tidy, setup, check, test, torture".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace, two above this crate's. Cargo says at every run where that is; where it was built says
/// nothing, since a build folder may have been copied.
fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.ancestors().nth(2).unwrap_or(&here).to_path_buf()
}
