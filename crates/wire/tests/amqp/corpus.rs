//! What coverage-guided fuzzing found worth keeping (`fuzz/run`), read again on every run of the tests.

use std::fs;
use std::path::Path;

use crate::stream::assert_same_in_pieces;
use crate::walk::walk;

/// Fewer would show little.
const INPUTS_MIN: usize = 20;

#[test]
fn frames_that_fuzzing_kept_mean_the_same_in_pieces() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/amqp");
    let mut inputs = 0;
    for file in fs::read_dir(folder).expect("the corpus is there") {
        let input = fs::read(file.expect("a file").path()).expect("an input");
        walk(&input);
        assert_same_in_pieces(&input);
        inputs += 1;
    }
    assert!(inputs >= INPUTS_MIN, "{inputs} inputs");
}
