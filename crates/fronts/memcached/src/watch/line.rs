//! The words of an event, as memcached's log has them.

use std::io::Write;

use forebay_core::time::Instant;

/// Keys are written so that they hold neither a space nor a line end (RFC 3986's unreserved characters stay).
pub(crate) fn key(out: &mut Vec<u8>, key: &[u8]) {
    const HEX: [u8; 16] = *b"0123456789ABCDEF";
    for byte in key {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(*byte),
            _ => {
                let digit = |half: u8| HEX.get(usize::from(half)).copied().unwrap_or(b'0');
                out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
}

/// When it happened, and its number.
pub(super) fn begin(out: &mut Vec<u8>, now: Instant, number: u64) {
    let (seconds, thousandths) = (now.as_ms() / 1000, now.as_ms() % 1000);
    // Writing to memory cannot fail.
    drop(write!(out, "ts={seconds}.{thousandths:03}000 gid={number} "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_one_word() {
        let mut out = Vec::new();
        key(&mut out, b"a-b_c.d~Z9 %/\n\xff");
        assert_eq!(out, b"a-b_c.d~Z9%20%25%2F%0A%FF");
    }
}
