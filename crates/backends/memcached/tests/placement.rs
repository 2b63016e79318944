//! Keys are on the nodes where libmemcached, and whatever is built on it, looks for them.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use forebay_memcached_store::settings::Settings;
use forebay_memcached_store::store::MemcachedStore;
use forebay_runtime::clock::TokioClock;

const KEYS: usize = 10_000;

fn compile(folder: &Path) -> PathBuf {
    let (source, program) = (folder.join("placed.c"), folder.join("placed"));
    std::fs::write(&source, include_str!("placement/libmemcached.c")).expect("the source");
    let compiled = Command::new("cc").arg("-o").arg(&program).arg(&source).arg("-lmemcached").output();
    let compiled = compiled.expect("a C compiler is needed for this test: apt-get install gcc libc6-dev");
    let errors = String::from_utf8_lossy(&compiled.stderr);
    assert!(compiled.status.success(), "libmemcached is needed: apt-get install libmemcached-dev\n{errors}");
    program
}

fn agree(program: &Path, nodes: &[(&str, u16, u32)]) {
    let mut libmemcached = Command::new(program);
    libmemcached.arg(KEYS.to_string());
    for (host, port, weight) in nodes {
        libmemcached.args([*host, &port.to_string(), &weight.to_string()]);
    }
    let placed = libmemcached.output().expect("the compiled program runs");
    assert!(placed.status.success(), "it refuses {nodes:?}");
    let placed = String::from_utf8(placed.stdout).expect("names");
    let list =
        |part: &dyn Fn(&(&str, u16, u32)) -> String| nodes.iter().map(part).collect::<Vec<_>>().join(",");
    let hosts = list(&|(host, port, _)| format!("{host}:{port}"));
    let weights = list(&|(_, _, weight)| weight.to_string());
    let settings: Settings = format!("memcached://{hosts}?weights={weights}").parse().expect("a good URL");
    let (store, _) = MemcachedStore::new(settings, Arc::new(TokioClock::new())).expect("good settings");
    assert_eq!(placed.lines().count(), KEYS);
    for (number, theirs) in placed.lines().enumerate() {
        let key = format!("user:{number}:profile");
        assert_eq!(store.node_of(key.as_bytes()).as_deref(), Some(theirs), "{key} of {nodes:?}");
    }
    let used = nodes.iter().filter(|(host, port, _)| placed.contains(&format!("{host}:{port}"))).count();
    assert_eq!(used, nodes.len(), "every node has keys");
}

#[test]
fn ten_thousand_keys_are_where_libmemcached_places_them() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let program = compile(folder.path());
    agree(&program, &[("127.0.0.1", 11211, 1)]);
    agree(&program, &[("10.0.1.1", 11211, 1), ("10.0.1.2", 11211, 1), ("10.0.1.3", 11211, 1)]);
    agree(&program, &[("127.0.0.1", 12001, 1), ("127.0.0.1", 12002, 1), ("127.0.0.1", 12003, 1)]);
    agree(&program, &[("cache-a", 11211, 1), ("cache-b", 11212, 2), ("cache-c", 11211, 5)]);
    let many: Vec<(String, u32)> =
        (0..10).map(|number| (format!("10.0.1.{number}"), 1 + number % 3)).collect();
    let many: Vec<(&str, u16, u32)> =
        many.iter().map(|(host, weight)| (host.as_str(), 11_311, *weight)).collect();
    agree(&program, &many);
}
