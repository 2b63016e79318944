//! Answers as bytes, appended to one output.

use forebay_core::entry::View;

/// Digits of the largest 64-bit number.
const DIGITS_MAX: usize = 20;

/// One line.
pub(crate) fn line(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// One line, unless the client does not want to hear it.
pub(crate) fn line_unless(quiet: bool, out: &mut Vec<u8>, text: &str) {
    if !quiet {
        line(out, text);
    }
}

/// `VALUE <key> <flags> <bytes> [<version>]` and the value.
pub(crate) fn value(out: &mut Vec<u8>, key: &[u8], view: &View<'_>, versions: bool) {
    // Together with the numbers there is room in one piece, so that a hit extends the output at most once.
    out.reserve(key.len() + view.value.len() + 64);
    out.extend_from_slice(b"VALUE ");
    out.extend_from_slice(key);
    out.push(b' ');
    number(out, u64::from(view.flags));
    out.push(b' ');
    number(out, view.value.len() as u64);
    if versions {
        out.push(b' ');
        number(out, view.version.0);
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(view.value);
    out.extend_from_slice(b"\r\n");
}

/// A decimal number.
pub(crate) fn number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; DIGITS_MAX];
    let mut start = DIGITS_MAX;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        start -= 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

/// A decimal number that may be -1.
pub(crate) fn signed(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    number(out, value.unsigned_abs());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_their_digits() {
        for value in [0, 1, 9, 10, 4_294_967_295, u64::MAX] {
            let mut out = Vec::new();
            number(&mut out, value);
            assert_eq!(out, value.to_string().as_bytes());
        }
        let mut out = Vec::new();
        signed(&mut out, -1);
        assert_eq!(out, b"-1");
    }
}
