//! Strings that are more than bytes: short ones, whose type proves that they can be written, and secret ones, which
//! do not show.

use std::fmt;
use std::ops::Deref;

/// The longest short string.
pub const SHORT_BYTES_MAX: usize = 255;

/// A short string of a method: UTF-8, as RabbitMQ demands there.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortStr<'a>(&'a str);

impl<'a> ShortStr<'a> {
    /// `None` where the text is longer than [`SHORT_BYTES_MAX`].
    pub const fn new(text: &'a str) -> Option<Self> {
        if text.len() <= SHORT_BYTES_MAX { Some(Self(text)) } else { None }
    }

    /// As much of the text as fits, for explanations: no character is cut in two.
    pub fn cut(text: &'a str) -> Self {
        Self(text.get(..text.floor_char_boundary(SHORT_BYTES_MAX)).unwrap_or_default())
    }

    /// The text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl Deref for ShortStr<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.0
    }
}

impl fmt::Debug for ShortStr<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, formatter)
    }
}

impl fmt::Display for ShortStr<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

/// A short string of a message's properties, or the name of a field in a table. RabbitMQ passes these on without
/// looking whether they are text, and so must we.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortBytes<'a>(&'a [u8]);

impl<'a> ShortBytes<'a> {
    /// `None` where there are more than [`SHORT_BYTES_MAX`].
    pub const fn new(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() <= SHORT_BYTES_MAX { Some(Self(bytes)) } else { None }
    }

    /// The bytes.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The text, where it is text.
    pub fn as_str(self) -> Option<&'a str> {
        std::str::from_utf8(self.0).ok()
    }
}

impl<'a> From<ShortStr<'a>> for ShortBytes<'a> {
    fn from(text: ShortStr<'a>) -> Self {
        Self(text.0.as_bytes())
    }
}

impl Deref for ShortBytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0
    }
}

impl fmt::Debug for ShortBytes<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}\"", self.0.escape_ascii())
    }
}

/// A long string that proves who somebody is. `Debug` says how long it is and no more.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Secret<'a>(pub &'a [u8]);

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "<{} bytes>", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_of_255_bytes_is_short_and_one_more_is_not() {
        let longest = "x".repeat(SHORT_BYTES_MAX);
        let longer = "x".repeat(SHORT_BYTES_MAX + 1);
        assert_eq!(ShortStr::new(&longest).unwrap().as_str(), longest);
        assert_eq!(ShortBytes::new(longest.as_bytes()).unwrap().as_bytes(), longest.as_bytes());
        assert!(ShortStr::new(&longer).is_none());
        assert!(ShortBytes::new(longer.as_bytes()).is_none());
    }

    #[test]
    fn an_explanation_is_cut_between_characters() {
        let text = "é".repeat(200);
        assert_eq!(ShortStr::cut(&text).as_str(), "é".repeat(127));
        assert_eq!(ShortStr::cut("whole").as_str(), "whole");
    }

    #[test]
    fn a_secret_does_not_show() {
        assert_eq!(format!("{:?}", Secret(b"guest")), "<5 bytes>");
    }
}
