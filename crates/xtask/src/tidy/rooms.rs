//! Size, names and first lines of source files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;

/// Lines of one file, tests apart.
const LINES_MAX: usize = 500;
/// Files in one folder.
const FILES_MAX: usize = 12;
/// Names that say nothing of what is inside.
const BANNED: &[&str] = &["util", "utils", "helper", "helpers", "manager", "common", "misc"];

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    for folder in ["crates", "benches", "examples"] {
        visit(&root.join(folder), &mut breaches)?;
    }
    Ok(breaches)
}

fn visit(folder: &Path, breaches: &mut Vec<String>) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let mut files = 0;
    let fail = |error| format!("cannot read {}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if banned(&path) {
            breaches.push(format!("{}: name it after what it does", path.display()));
        }
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                visit(&path, breaches)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files += 1;
            let text = fs::read_to_string(&path).map_err(fail)?;
            breaches.extend(breaches_of(&path, &text));
        }
    }
    if files > FILES_MAX {
        breaches.push(format!("{}: {files} files, at most {FILES_MAX}", folder.display()));
    }
    Ok(())
}

fn banned(path: &Path) -> bool {
    let stem = path.file_stem().map(PathBuf::from).unwrap_or_default();
    BANNED.iter().any(|name| stem.as_os_str() == *name)
}

fn breaches_of(path: &Path, text: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
    let in_tests = path.components().any(|part| part.as_os_str() == "tests");
    if lines > LINES_MAX && !in_tests {
        breaches.push(format!("{}: {lines} lines without tests, at most {LINES_MAX}", path.display()));
    }
    if !text.starts_with("//!") {
        breaches.push(format!("{}: the first line says what the file is for (//! …)", path.display()));
    }
    if text.lines().any(|line| line.trim_start().starts_with("use crate::*")) {
        breaches.push(format!("{}: import from the file that defines, not crate::*", path.display()));
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_a_breach_and_its_tests_do_not_count() {
        let long = format!("//! x\n{}", "line\n".repeat(500));
        assert_eq!(breaches_of(Path::new("src/a.rs"), &long).len(), 1);
        let tested = format!("//! x\n{}#[cfg(test)]\n{}", "line\n".repeat(490), "line\n".repeat(500));
        assert!(breaches_of(Path::new("src/a.rs"), &tested).is_empty());
    }

    #[test]
    fn a_file_without_its_first_line_is_a_breach() {
        assert_eq!(breaches_of(Path::new("src/a.rs"), "fn main() {}\n").len(), 1);
    }

    #[test]
    fn empty_names_are_banned() {
        assert!(banned(Path::new("src/util.rs")));
        assert!(banned(Path::new("src/helpers")));
        assert!(!banned(Path::new("src/get.rs")));
    }

    #[test]
    fn a_thirteenth_file_is_a_breach() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..13 {
            fs::write(folder.path().join(format!("f{number}.rs")), "//! x\n").unwrap();
        }
        let mut breaches = Vec::new();
        visit(folder.path(), &mut breaches).unwrap();
        assert_eq!(breaches.len(), 1, "{breaches:?}");
    }
}
