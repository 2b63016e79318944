//! The text protocol, and its way in for users: cut anywhere a stream means the same.

#![no_main]

#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../../../crates/wire/tests/memcached/stream.rs"]
mod stream;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    stream::assert_same_in_pieces(stream::TEXT, input);
    stream::assert_same_in_pieces(stream::WAY_IN, input);
});
