//! A message's time to live, which clients give as text.

use std::time::Duration;

use crate::exception::{Exception, Result};

/// Reads the property `expiration`: milliseconds in decimal.
pub(crate) fn read(expiration: &[u8]) -> Result<Duration> {
    let invalid = |why: &str| {
        let shown = String::from_utf8_lossy(expiration);
        Exception::precondition(format!("invalid expiration '{shown}': {why}"))
    };
    let text = std::str::from_utf8(expiration).unwrap_or_default();
    let (digits, negative) = text.strip_prefix('-').map_or((text, false), |digits| (digits, true));
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse::<u64>() {
        Ok(0) if is_number => Ok(Duration::ZERO),
        Ok(ms) if is_number && negative => Err(invalid(&format!("{{value_negative,-{ms}}}"))),
        Ok(ms) if is_number => Ok(Duration::from_millis(ms)),
        // Longer than any message lives.
        Err(_) if is_number && !negative => Ok(Duration::MAX),
        _ => {
            let rest = text.trim_start_matches(|character: char| character.is_ascii_digit());
            if rest.len() < text.len() {
                return Err(invalid(&format!("{{leftover_string,\"{rest}\"}}")));
            }
            Err(invalid("no_integer"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_read_and_anything_else_is_refused() {
        assert_eq!(read(b"0"), Ok(Duration::ZERO));
        assert_eq!(read(b"60000"), Ok(Duration::from_secs(60)));
        assert_eq!(read(b"99999999999999999999999"), Ok(Duration::MAX));
        for text in [&b""[..], b"-1", b"1.5", b"abc", b"10ms", b"+5", &[0xff]] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }
}
