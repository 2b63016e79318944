//! Numbers as C's `strtol` family reads them, because that is what clients' numbers have always met.
//!
//! Leading blanks and a sign are taken, anything may follow a blank, a number that does not fit 64 bits is refused,
//! and one that does is cut to the width that is wanted.

/// A sign and a magnitude, or `None` where there is no number or it does not fit 64 bits.
fn read(text: &[u8]) -> Option<(bool, u64)> {
    let start = text.iter().position(|byte| !is_blank(*byte))?;
    let text = text.get(start..)?;
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    if digits.is_empty() || rest.first().is_some_and(|byte| !is_blank(*byte)) {
        return None;
    }
    let mut magnitude = 0u64;
    for digit in digits {
        magnitude = magnitude.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    Some((negative, magnitude))
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

/// An unsigned 64-bit number. A negative one wraps round, and is refused only where that shows in the top bit.
pub(super) fn unsigned(text: &[u8]) -> Option<u64> {
    let (negative, magnitude) = read(text)?;
    let number = if negative { magnitude.wrapping_neg() } else { magnitude };
    if number > i64::MAX as u64 && text.contains(&b'-') { None } else { Some(number) }
}

/// The low 32 bits of an unsigned number.
pub(super) fn unsigned_32(text: &[u8]) -> Option<u32> {
    unsigned(text).map(|number| number as u32)
}

/// The low 32 bits of a signed number.
pub(super) fn signed_32(text: &[u8]) -> Option<i32> {
    let (negative, magnitude) = read(text)?;
    let number =
        if negative { 0i64.checked_sub_unsigned(magnitude)? } else { i64::try_from(magnitude).ok()? };
    Some(number as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsigned_numbers_are_read_as_c_reads_them() {
        for (text, number) in [
            ("0", Some(0)),
            ("+7", Some(7)),
            ("\t7", Some(7)),
            ("7\tx", Some(7)),
            ("00000000000000000000000012", Some(12)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-1", None),
            ("-18446744073709551615", Some(1)),
            ("", None),
            ("-", None),
            ("7x", None),
            ("0x7", None),
        ] {
            assert_eq!(unsigned(text.as_bytes()), number, "{text:?}");
        }
    }

    #[test]
    fn numbers_that_are_too_wide_are_cut() {
        assert_eq!(unsigned_32(b"4294967297"), Some(1));
        assert_eq!(signed_32(b"4294967297"), Some(1));
        assert_eq!(signed_32(b"-1"), Some(-1));
        assert_eq!(signed_32(b"-9223372036854775808"), Some(0));
        assert_eq!(signed_32(b"-9223372036854775809"), None);
        assert_eq!(signed_32(b"9223372036854775808"), None);
    }
}
