//! The steps of `check`, `test` and `torture`, each with its time.

use std::num::NonZero;
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;
use std::time::Instant;

use crate::tools::{install, programs, run};
use crate::{Result, features, tidy};

/// How many tests of one program run side by side.
const TEST_THREADS: &str = "RUST_TEST_THREADS";
/// The profile of the long runs.
const TORTURE: [&str; 2] = ["--profile", "torture"];

/// Format, house rules and lints: the quick look before a commit.
pub(crate) fn check(root: &Path) -> Result<()> {
    step("format", || run(cargo(root).args(["fmt", "--all", "--check"])))?;
    step("tidy", || tidy::run(root))?;
    step("lints", || {
        run(cargo(root).args([
            "clippy",
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ]))
    })
}

/// Everything that must hold before a change lands.
pub(crate) fn test(root: &Path) -> Result<()> {
    step("tools", || install(root))?;
    check(root)?;
    step("build", || {
        run(cargo(root).args(["build", "--locked", "--workspace", "--bins"]))?;
        run(cargo(root).args(["test", "--locked", "--workspace", "--no-run", "--quiet"]))
    })?;
    step("tests", || run(&mut tests(root)))?;
    step("features", || features::look(root))?;
    step("docs", || {
        run(cargo(root)
            .args(["doc", "--locked", "--workspace", "--no-deps", "--quiet"])
            .env("RUSTDOCFLAGS", "--deny warnings"))
    })?;
    step("licences", || {
        // Of other systems' crates as well; nothing is fetched twice.
        run(cargo(root).args(["fetch", "--locked", "--quiet"]))?;
        run(Command::new(programs(root).join("cargo-deny"))
            .args(["--locked", "--offline", "check", "bans", "licenses", "sources"])
            .current_dir(root))
    })
}

/// The long runs: the same suites with their bounds raised, in fast code.
pub(crate) fn torture(root: &Path) -> Result<()> {
    step("tools", || install(root))?;
    step("build", || run(cargo(root).args(["build", "--locked", "--workspace", "--bins"]).args(TORTURE)))?;
    // A package of its own, with heavy peers: here it is seen to build still.
    step("measurements", || {
        run(cargo(&root.join("benches")).args(["check", "--locked", "--bins", "--benches"]))
    })?;
    step("torture", || run(tests(root).args(TORTURE).env("FOREBAY_TORTURE", "1")))
}

fn tests(root: &Path) -> Command {
    let mut command = cargo(root);
    command.args(["test", "--locked", "--workspace", "--no-fail-fast"]).env("FOREBAY_TOOLS", programs(root));
    if std::env::var_os(TEST_THREADS).is_none() {
        // Tests with real clients and servers wait most of their time, for the disk and for each other.
        let cores = available_parallelism().map_or(1, NonZero::get);
        command.env(TEST_THREADS, (2 * cores).to_string());
    }
    command
}

pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root);
    command
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("== {name}");
    let begun = Instant::now();
    work().map_err(|error| format!("{name}: {error}"))?;
    println!("== {name}: {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}
