//! What a memcached answers, as our client reads it: cut anywhere it means the same.

#![no_main]

#[path = "../../../crates/wire/tests/memcached/answers.rs"]
mod answers;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| answers::assert_same_in_pieces(input));
