//! Which crate may use which: the arrows of ARCHITECTURE.md, held against `cargo metadata`.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::Result;

/// Every crate with what its code may depend on. Tests may also use the crates of [`IN_TESTS`].
const ALLOWED: &[(&str, &[&str])] = &[
    ("forebay-core", &[]),
    ("forebay-wire", &[]),
    ("forebay-cache", &["forebay-core"]),
    ("forebay-queue", &["forebay-core"]),
    ("forebay-memory", &["forebay-core"]),
    ("forebay-log", &["forebay-core"]),
    ("forebay-broker", &["forebay-core", "forebay-log"]),
    (
        "forebay-bond",
        &[
            "forebay-core",
            "forebay-cache",
            "forebay-queue",
            "forebay-memory",
            "forebay-log",
            "forebay-broker",
        ],
    ),
    ("forebay-envelope", &["forebay-core"]),
    ("forebay-rabbitmq", &["forebay-core", "forebay-envelope"]),
    ("forebay-kafka", &["forebay-core", "forebay-envelope"]),
    ("forebay-runtime", &["forebay-core"]),
    ("forebay-redis", &["forebay-core"]),
    ("forebay-sqs", &["forebay-core", "forebay-envelope"]),
    ("forebay-contract", &["forebay-core"]),
    ("forebay-memcached-store", &["forebay-core", "forebay-wire"]),
    ("forebay-amqp", &["forebay-core", "forebay-wire", "forebay-broker"]),
    ("forebay-memcached", &["forebay-core", "forebay-wire", "forebay-cache", "forebay-memory"]),
    (
        "forebay-http",
        &[
            "forebay-core",
            "forebay-cache",
            "forebay-queue",
            "forebay-memory",
            "forebay-log",
            "forebay-broker",
        ],
    ),
    (
        "forebay-connect",
        &[
            "forebay-core",
            "forebay-kafka",
            "forebay-memcached-store",
            "forebay-rabbitmq",
            "forebay-redis",
            "forebay-sqs",
        ],
    ),
    (
        "forebay",
        &[
            "forebay-core",
            "forebay-connect",
            "forebay-cache",
            "forebay-queue",
            "forebay-memory",
            "forebay-log",
            "forebay-broker",
            "forebay-bond",
            "forebay-runtime",
        ],
    ),
    ("forebay-lab", ANYTHING),
    ("forebay-acceptance", ANYTHING),
    (
        "forebay-daemon",
        &[
            "forebay-core",
            "forebay-connect",
            "forebay-cache",
            "forebay-queue",
            "forebay-memory",
            "forebay-log",
            "forebay-broker",
            "forebay-bond",
            "forebay-runtime",
            "forebay-amqp",
            "forebay-memcached",
            "forebay-http",
            "forebay-lab",
        ],
    ),
    ("forebay-xtask", &[]),
];

const ANYTHING: &[&str] = &["*"];

/// What tests may use beside: the suites and the rooms that stand in for real parts.
const IN_TESTS: &[&str] = &[
    "forebay-cache",
    "forebay-contract",
    "forebay-queue",
    "forebay-memory",
    "forebay-log",
    "forebay-broker",
    "forebay-runtime",
];

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cannot run cargo metadata: {error}"))?;
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cannot read cargo metadata: {error}"))?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata names no packages")?;
    Ok(packages.iter().flat_map(breaches_of).collect())
}

fn breaches_of(package: &Value) -> Vec<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
        return vec![format!("{name}: a new crate needs its line in xtask's arrows and in ARCHITECTURE.md")];
    };
    let empty = Vec::new();
    package["dependencies"]
        .as_array()
        .unwrap_or(&empty)
        .iter()
        .filter_map(|dependency| {
            let used = dependency["name"].as_str().unwrap_or_default();
            let in_tests = dependency["kind"] == "dev";
            (!may_use(allowed, used, in_tests)).then(|| format!("{name}: must not use {used}"))
        })
        .collect()
}

fn may_use(allowed: &[&str], used: &str, in_tests: bool) -> bool {
    let foreign = !used.starts_with("forebay");
    foreign || allowed.contains(&"*") || allowed.contains(&used) || (in_tests && IN_TESTS.contains(&used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrow_outside_the_table_is_a_breach() {
        let package = serde_json::json!({
            "name": "forebay-cache",
            "dependencies": [
                { "name": "forebay-core", "kind": null },
                { "name": "forebay-queue", "kind": null },
                { "name": "forebay-contract", "kind": "dev" },
                { "name": "serde", "kind": null },
            ],
        });
        assert_eq!(breaches_of(&package), ["forebay-cache: must not use forebay-queue"]);
    }

    #[test]
    fn a_crate_that_is_not_in_the_table_is_a_breach() {
        let package = serde_json::json!({ "name": "forebay-new", "dependencies": [] });
        assert_eq!(breaches_of(&package).len(), 1);
    }

    #[test]
    fn production_code_never_uses_the_contract_suites() {
        assert!(!may_use(&["forebay-core"], "forebay-contract", false));
        assert!(may_use(&["forebay-core"], "forebay-contract", true));
    }
}
