//! Where the programs under test and their clients are.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::client::Client;

/// How much longer a suite runs under `make torture`.
pub fn torture() -> bool {
    std::env::var_os("FOREBAY_TORTURE").is_some()
}

/// The `forebay` binary that was built beside this test.
pub fn forebay() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let profile = test.ancestors().nth(2).expect("tests lie in target/<profile>/deps");
    let path = profile.join("forebay");
    assert!(path.exists(), "{} is not built: cargo build --bin forebay, or make test", path.display());
    path
}

/// A program of the private Python, such as `python` or `schemathesis`.
pub fn tool(name: &str) -> PathBuf {
    let path = tools().join(name);
    assert!(path.exists(), "{} is not installed: cargo xtask setup, or make test", path.display());
    path
}

fn tools() -> PathBuf {
    std::env::var_os("FOREBAY_TOOLS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/venv/bin"), PathBuf::from)
}

/// A script of `tests/clients` in the private Python.
pub fn python(script: &str) -> Command {
    let mut command = Command::new(tool("python"));
    command.arg(script_path(script)).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// A script of `tests/clients` in node, with the private packages.
pub fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(script_path(script)).env("NODE_PATH", tools().join("../../node/node_modules"));
    command
}

/// Compiles a program in C with the libraries it needs, and is the command that runs it.
pub fn compiled(source: &Path, libraries: &[&str], folder: &Path) -> Command {
    let program = folder.join(source.file_stem().expect("a source has a name"));
    let mut compiler = Command::new("cc");
    compiler
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-D_DEFAULT_SOURCE", "-o"])
        .arg(&program)
        .arg(source);
    run(compiler.args(libraries.iter().map(|library| format!("-l{library}"))));
    Command::new(program)
}

/// Where a script of `tests/clients` is.
pub fn script_path(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script)
}

/// Runs a command to its end, which must be a good one, and returns what it said.
pub fn run(command: &mut Command) -> String {
    let end = Client::start(command).end();
    assert!(end.status.success(), "{command:?}: {}\n{}\n{}", end.status, end.said, end.complaints);
    end.all()
}

/// Runs a client that says that all was well, if it was.
pub fn session(command: &mut Command) {
    let said = run(command);
    assert!(said.contains("all well\n"), "{said}");
    eprintln!("{said}");
}
