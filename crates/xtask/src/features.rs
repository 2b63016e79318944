//! The library as its users build it: with no other system by default, and with one of them at a time. A build of the whole
//! workspace has all of them, and shows neither.

use std::path::Path;

use crate::Result;
use crate::steps::cargo;
use crate::tools::run;

/// What a feature of the library brings: the crate that speaks to the other system.
const BROUGHT: [(&str, &str); 5] = [
    ("kafka", "rdkafka"),
    ("memcached", "forebay-memcached-store"),
    ("rabbitmq", "lapin"),
    ("redis", "redis"),
    ("sqs", "aws-sdk-sqs"),
];

/// Lints each of these builds, sees what they depend on, and tests what a build says that lacks all of them.
pub(crate) fn look(root: &Path) -> Result<()> {
    let none = std::iter::once("");
    for features in none.chain(BROUGHT.map(|(feature, _)| feature)) {
        let chosen = ["--locked", "--package", "forebay", "--no-default-features", "--features", features];
        let tree =
            cargo(root).arg("tree").args(chosen).args(["--edges", "normal", "--prefix", "none"]).output();
        let tree = tree.map_err(|error| format!("cannot run cargo tree: {error}"))?;
        if !tree.status.success() {
            return Err(format!("cargo tree: {}", String::from_utf8_lossy(&tree.stderr)));
        }
        judge(features, &String::from_utf8_lossy(&tree.stdout))?;
        run(cargo(root).arg("clippy").args(chosen).args(["--quiet", "--", "--deny", "warnings"]))?;
    }
    run(cargo(root).args(["test", "--locked", "--package", "forebay-connect", "--lib", "--quiet"]))
}

/// Of the crates that speak to other systems exactly that of the feature is in the tree, a crate a line.
fn judge(feature: &str, tree: &str) -> Result<()> {
    for (of, name) in BROUGHT {
        let is_there = tree.lines().any(|line| line.split(' ').next() == Some(name));
        if is_there != (of == feature) {
            let verb = if is_there { "links" } else { "lacks" };
            return Err(format!("the library with the features \"{feature}\" {verb} {name}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_brings_what_was_not_asked_for_is_refused_and_one_that_lacks_it_too() {
        let tree = |names: &[&str]| names.iter().map(|name| format!("{name} v1.0.0\n")).collect::<String>();
        assert_eq!(judge("", &tree(&["tokio", "redis-types"])), Ok(()));
        assert_eq!(judge("redis", &tree(&["tokio", "redis"])), Ok(()));
        assert!(judge("", &tree(&["lapin"])).unwrap_err().contains("links lapin"));
        assert!(judge("redis", &tree(&["redis", "lapin"])).unwrap_err().contains("links lapin"));
        assert!(judge("kafka", &tree(&["tokio"])).unwrap_err().contains("lacks rdkafka"));
    }
}
