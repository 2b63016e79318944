//! What coverage-guided fuzzing found worth keeping (`fuzz/run`), read again on every run of the tests.

use std::fs;
use std::path::Path;

use crate::answers;
use crate::stream::{BINARY, TEXT, WAY_IN, assert_same_in_pieces};

/// Fewer would show little.
const INPUTS_MIN: usize = 20;

fn inputs(parser: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(parser);
    let files = fs::read_dir(&folder).expect("the corpus is there");
    let inputs: Vec<_> =
        files.map(|file| fs::read(file.expect("a file").path()).expect("an input")).collect();
    assert!(inputs.len() >= INPUTS_MIN, "{} inputs in {}", inputs.len(), folder.display());
    inputs
}

#[test]
fn commands_that_fuzzing_kept_mean_the_same_in_pieces() {
    for input in inputs("memcached_text") {
        assert_same_in_pieces(TEXT, &input);
        assert_same_in_pieces(WAY_IN, &input);
    }
}

#[test]
fn packets_that_fuzzing_kept_mean_the_same_in_pieces() {
    inputs("memcached_binary").iter().for_each(|input| assert_same_in_pieces(BINARY, input));
}

#[test]
fn replies_that_fuzzing_kept_mean_the_same_in_pieces() {
    inputs("memcached_replies").iter().for_each(|input| answers::assert_same_in_pieces(input));
}
