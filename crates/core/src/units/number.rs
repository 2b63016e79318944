//! Reading and writing a number with its unit.

/// Units of size in bytes, from the largest down.
pub const SIZES: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Units of time in milliseconds, from the largest down.
pub const SPANS: &[(&str, u64)] = &[("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a whole number and its unit, whatever the case of that; `bare` is the factor of a number without one, where that
/// is allowed.
///
/// ```
/// use forebay_core::units::{SIZES, measure};
///
/// assert_eq!(measure("12 MiB", SIZES, Some(1)), Some(12 << 20));
/// assert_eq!(measure("1.5GiB", SIZES, Some(1)), None);
/// ```
pub fn measure(text: &str, units: &[(&str, u64)], bare: Option<u64>) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let unit = unit.trim_start();
    let factor = if unit.is_empty() {
        bare?
    } else {
        units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// Writes a number in the largest unit that divides it.
pub fn show(number: u64, units: &[(&str, u64)]) -> String {
    let unit = units.iter().find(|(_, factor)| number != 0 && number.is_multiple_of(*factor));
    let (name, factor) = unit.or(units.last()).copied().unwrap_or(("", 1));
    format!("{}{name}", number / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_reads_back() {
        for number in [0, 1, 1_000, 1_024, 1_500, 256 << 20, 5_000_000, u64::MAX] {
            assert_eq!(measure(&show(number, SIZES), SIZES, None), Some(number));
        }
        assert_eq!(show(90_000, SPANS), "90s");
        for text in ["", "s", "-1s", "10 days", "18446744073709551615h"] {
            assert_eq!(measure(text, SPANS, None), None, "{text}");
        }
    }
}
