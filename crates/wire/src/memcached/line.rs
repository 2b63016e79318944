//! Where a command line ends, and how long one may grow before its sender is given up.

use super::parse::Limits;

/// Spaces that may stand before a `get` for its line still to count as one.
const GET_INDENT_MAX: usize = 100;

/// What is known of the line at the head of the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// Its text without the line end, cut at the first NUL, and its length with the line end.
    Line { text: &'a [u8], length: usize },
    /// No line end yet.
    Open,
    /// No line end where there has to be one. Nothing after it can be understood.
    Endless,
}

/// Finds the line end. The first `searched` bytes are known to hold none.
pub(super) fn find<'a>(input: &'a [u8], searched: usize, limits: &Limits) -> Found<'a> {
    let searched = searched.min(input.len());
    let (_, unsearched) = input.split_at(searched);
    let end = memchr::memchr(b'\n', unsearched).map(|end| end + searched);
    let (length, length_max) = match end {
        Some(end) => (end, limits.line_bytes_max),
        None => (input.len(), limits.open_line_bytes_max),
    };
    if length > length_max && !(is_get(input) && length <= limits.get_line_bytes_max) {
        return Found::Endless;
    }
    let Some(end) = end else { return Found::Open };
    let (line, _) = input.split_at(end);
    // A line of nothing but CR LF keeps its CR: memcached answers it as an unknown command, which an empty line
    // would be anyway.
    let line = match line {
        [text @ .., b'\r'] if !text.is_empty() => text,
        _ => line,
    };
    let text = memchr::memchr(0, line).and_then(|nul| line.get(..nul)).unwrap_or(line);
    Found::Line { text, length: end + 1 }
}

/// `get` and `gets` may name any number of keys, so their lines may be long.
fn is_get(input: &[u8]) -> bool {
    let indent = input.iter().take(GET_INDENT_MAX + 1).take_while(|byte| **byte == b' ').count();
    let text = input.get(indent..).unwrap_or_default();
    indent <= GET_INDENT_MAX && (text.starts_with(b"get ") || text.starts_with(b"gets "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        key_bytes_max: 250,
        item_bytes_max: 1000,
        open_line_bytes_max: 8,
        line_bytes_max: 16,
        get_line_bytes_max: 32,
    };

    fn line(text: &[u8], length: usize) -> Found<'_> {
        Found::Line { text, length }
    }

    #[test]
    fn a_line_ends_with_lf_or_cr_lf_and_its_text_at_a_nul() {
        assert_eq!(find(b"ab\r\ncd", 0, &LIMITS), line(b"ab", 4));
        assert_eq!(find(b"ab\ncd", 0, &LIMITS), line(b"ab", 3));
        assert_eq!(find(b"ab\r\r\n", 0, &LIMITS), line(b"ab\r", 5));
        assert_eq!(find(b"\r\n", 0, &LIMITS), line(b"\r", 2));
        assert_eq!(find(b"\n", 0, &LIMITS), line(b"", 1));
        assert_eq!(find(b"ab\0cd\r\n", 0, &LIMITS), line(b"ab", 7));
        assert_eq!(find(b"abcdef\n", 3, &LIMITS), line(b"abcdef", 7));
        assert_eq!(find(b"", 5, &LIMITS), Found::Open);
    }

    #[test]
    fn an_open_line_is_given_up_at_its_limit_unless_it_is_a_get() {
        assert_eq!(find(b"12345678", 0, &LIMITS), Found::Open);
        assert_eq!(find(b"123456789", 0, &LIMITS), Found::Endless);
        assert_eq!(find(b"123456789\r\n", 0, &LIMITS), line(b"123456789", 11));
        assert_eq!(find(b"1234567890123456\n", 0, &LIMITS), line(b"1234567890123456", 17));
        assert_eq!(find(b"12345678901234567\n", 0, &LIMITS), Found::Endless);
        assert_eq!(find(b"  get 1234567890", 0, &LIMITS), Found::Open);
        assert_eq!(find(b"gets 5678901234567890123456789012", 0, &LIMITS), Found::Endless);
        assert_eq!(find(b"gat 0 123456789", 0, &LIMITS), Found::Endless);
    }
}
