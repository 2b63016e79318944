//! `STAT` lines.

use std::fmt::Display;
use std::io::Write;

/// `STAT <name> <value>`.
pub(crate) fn stat(out: &mut Vec<u8>, name: impl Display, value: impl Display) {
    // Writing to memory cannot fail.
    let _ = write!(out, "STAT {name} {value}\r\n");
}

/// The end of a list.
pub(crate) fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"END\r\n");
}
