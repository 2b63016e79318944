//! House rules and the test command.

fn main() {}
