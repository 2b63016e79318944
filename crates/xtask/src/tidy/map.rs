//! ARCHITECTURE.md against what is there: every path it names exists, every crate is in it, and it stays short.

use std::fs;
use std::path::Path;

use crate::Result;

const LINES_MAX: usize = 200;
const MAKEFILE_LINES_MAX: usize = 40;

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let read = |name: &str| {
        fs::read_to_string(root.join(name)).map_err(|error| format!("cannot read {name}: {error}"))
    };
    let architecture = read("ARCHITECTURE.md")?;
    let makefile = read("Makefile")?;
    let mut breaches = Vec::new();
    for (name, text, most) in
        [("ARCHITECTURE.md", &architecture, LINES_MAX), ("Makefile", &makefile, MAKEFILE_LINES_MAX)]
    {
        let lines = text.lines().count();
        if lines > most {
            breaches.push(format!("{name}: {lines} lines, at most {most}"));
        }
    }
    breaches.extend(
        paths(&architecture)
            .filter(|path| !root.join(path).exists())
            .map(|path| format!("ARCHITECTURE.md names {path}, which is not there")),
    );
    let workspace = read("Cargo.toml")?;
    breaches.extend(
        members(&workspace)
            .filter(|member| !architecture.contains(&format!("`{member}`")))
            .map(|member| format!("ARCHITECTURE.md does not name `{member}`")),
    );
    Ok(breaches)
}

/// What stands between backquotes and looks like a path from the root.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|quoted| {
        let path_like = quoted.starts_with("crates/")
            || quoted.starts_with("docs/")
            || quoted.starts_with("benches")
            || quoted.starts_with("examples")
            || quoted.ends_with(".md")
            || quoted.ends_with(".toml");
        path_like && !quoted.contains([' ', '*', '<'])
    })
}

fn members(workspace: &str) -> impl Iterator<Item = &str> {
    workspace
        .lines()
        .map(|line| line.trim().trim_matches(['"', ',']))
        .filter(|line| line.starts_with("crates/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_paths_are_found_and_other_code_is_not() {
        let text = "See `crates/core/src/error.rs`, `decide`, `docs/decisions/` and `cargo xtask tidy`.";
        assert_eq!(paths(text).collect::<Vec<_>>(), ["crates/core/src/error.rs", "docs/decisions/"]);
    }

    #[test]
    fn members_are_read_from_the_workspace() {
        let text = "members = [\n    \"crates/core\",\n    \"crates/wire\",\n]\n";
        assert_eq!(members(text).collect::<Vec<_>>(), ["crates/core", "crates/wire"]);
    }
}
