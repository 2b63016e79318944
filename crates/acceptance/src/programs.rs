//! Where the programs under test and their clients are.

use std::path::{Path, PathBuf};

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
    let folder = std::env::var_os("FOREBAY_TOOLS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/venv/bin"), PathBuf::from);
    let path = folder.join(name);
    assert!(path.exists(), "{} is not installed: cargo xtask setup, or make test", path.display());
    path
}
