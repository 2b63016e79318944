//! Frames of AMQP 0-9-1: cut anywhere a stream means the same, and everything in one can be looked at.

#![no_main]

#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../../../crates/wire/tests/amqp/stream.rs"]
mod stream;
#[path = "../../../crates/wire/tests/amqp/walk.rs"]
mod walk;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    walk::walk(input);
    walk::walk(input.get(1..).unwrap_or_default());
    stream::assert_same_in_pieces(input);
});
