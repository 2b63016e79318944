//! Numbers as memcached keeps them: decimal text, padded with blanks when it gets shorter.

/// Digits of the largest 64-bit number.
const DIGITS_MAX: usize = 20;

/// A number as text, without allocation.
pub struct Decimal {
    digits: [u8; DIGITS_MAX],
    start: usize,
}

impl Decimal {
    /// Its digits, without leading zeros.
    pub fn new(mut number: u64) -> Self {
        let mut digits = [b'0'; DIGITS_MAX];
        let mut start = DIGITS_MAX - 1;
        for (place, digit) in digits.iter_mut().enumerate().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
            start = place;
            if number == 0 {
                break;
            }
        }
        Self { digits, start }
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        self.digits.get(self.start..).unwrap_or_default()
    }

    /// Fills `target`, which is not shorter, with the number and blanks behind it.
    pub fn write_padded(&self, target: &mut [u8]) {
        let mut digits = self.as_bytes().iter();
        for byte in target {
            *byte = digits.next().copied().unwrap_or(b' ');
        }
    }
}

/// The number that the text stands for, read as memcached reads it: blanks and a plus may come before the digits, and
/// behind them the text ends or a blank or a zero byte follows, whatever comes then.
pub fn parse(text: &[u8]) -> Option<u64> {
    let text = text.get(text.iter().position(|byte| !is_blank(*byte))?..)?;
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let digits = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    if digits == 0 || text.get(digits).is_some_and(|byte| *byte != 0 && !is_blank(*byte)) {
        return None;
    }
    text.get(..digits)?
        .iter()
        .try_fold(0u64, |number, digit| number.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

/// A blank in C's sense, which is ASCII's and the vertical tab.
fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_as_its_digits() {
        for number in [0, 1, 9, 10, 4_294_967_296, u64::MAX] {
            assert_eq!(Decimal::new(number).as_bytes(), number.to_string().as_bytes());
        }
    }

    #[test]
    fn a_shorter_number_is_padded_with_blanks() {
        let mut target = *b"1000";
        Decimal::new(42).write_padded(&mut target);
        assert_eq!(&target, b"42  ");
    }

    #[test]
    fn text_is_read_as_memcached_reads_it() {
        let numbers: [(&[u8], u64); 10] = [
            (b"0", 0),
            (b"12", 12),
            (b" \t5", 5),
            (b"+5", 5),
            (b"5  ", 5),
            (b"5 x", 5),
            (b"5\x00x", 5),
            (b"\x0b5\x0b", 5),
            (b"18446744073709551615", u64::MAX),
            (b"0000000000000000000000005", 5),
        ];
        for (text, number) in numbers {
            assert_eq!(parse(text), Some(number), "{text:?}");
        }
        let others: [&[u8]; 8] = [b"", b" ", b"x", b"5x", b"-5", b"+ 5", b"5\xa0", b"18446744073709551616"];
        for text in others {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
