//! How each kind of setting is written, read and shown.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use forebay_bond::Prefixes;
use forebay_connect::url::{BrokerUrl, StoreUrl};
use forebay_core::error::Error;
use forebay_core::units::{SIZES, SPANS, measure, show};
use forebay_log::Damaged;
use tracing::level_filters::LevelFilter;

/// What is expected where something else was written.
pub(crate) type Expected = Cow<'static, str>;

/// A kind of setting: the same text in a file, in the environment and after a flag.
pub(crate) trait Value: Sized {
    /// Reads it; the error says what is expected and does not repeat the text.
    fn read(text: &str) -> Result<Self, Expected>;

    /// Writes it as it can be read.
    fn show(&self) -> String;
}

/// A number of bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

/// A number of bytes, or what follows from other settings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Derived {
    Auto,
    Set(Size),
}

impl Derived {
    /// What was set.
    pub(crate) fn bytes(self) -> Option<u64> {
        match self {
            Self::Auto => None,
            Self::Set(Size(bytes)) => Some(bytes),
        }
    }
}

/// A stretch of time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

/// Something that can be turned off.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Switch<T> {
    Off,
    On(T),
}

impl<T> Switch<T> {
    /// What is on.
    pub(crate) fn on(&self) -> Option<&T> {
        match self {
            Self::Off => None,
            Self::On(value) => Some(value),
        }
    }
}

impl Value for Size {
    fn read(text: &str) -> Result<Self, Expected> {
        measure(text, SIZES, Some(1))
            .map(Self)
            .ok_or(Cow::Borrowed("expected a size such as 256MiB, 64KiB or 1000000"))
    }

    fn show(&self) -> String {
        show(self.0, SIZES)
    }
}

impl Value for Derived {
    fn read(text: &str) -> Result<Self, Expected> {
        if text == "auto" { Ok(Self::Auto) } else { Size::read(text).map(Self::Set) }
    }

    fn show(&self) -> String {
        match self {
            Self::Auto => "auto".into(),
            Self::Set(size) => size.show(),
        }
    }
}

impl Value for Span {
    fn read(text: &str) -> Result<Self, Expected> {
        let ms = measure(text, SPANS, None)
            .ok_or(Cow::Borrowed("expected a time such as 10s, 500ms, 5m or 1h"))?;
        Ok(Self(Duration::from_millis(ms)))
    }

    fn show(&self) -> String {
        show(u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), SPANS)
    }
}

impl Value for bool {
    fn read(text: &str) -> Result<Self, Expected> {
        text.parse().map_err(|_| Cow::Borrowed("expected true or false"))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for usize {
    fn read(text: &str) -> Result<Self, Expected> {
        text.parse().map_err(|_| Cow::Borrowed("expected a whole number"))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for SocketAddr {
    fn read(text: &str) -> Result<Self, Expected> {
        text.parse().map_err(|_| {
            Cow::Borrowed("expected an address with port, such as 127.0.0.1:8080 or [::1]:0, or off")
        })
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for PathBuf {
    fn read(text: &str) -> Result<Self, Expected> {
        if text.is_empty() { Err(Cow::Borrowed("expected a path")) } else { Ok(text.into()) }
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl<T: Value> Value for Switch<T> {
    fn read(text: &str) -> Result<Self, Expected> {
        if text == "off" { Ok(Self::Off) } else { T::read(text).map(Self::On) }
    }

    fn show(&self) -> String {
        self.on().map_or_else(|| "off".into(), T::show)
    }
}

impl Value for Prefixes {
    fn read(text: &str) -> Result<Self, Expected> {
        let prefixes = text.split(',').filter(|_| text != "off");
        Self::new(prefixes)
            .map_err(|_| Cow::Borrowed("expected beginnings of keys with commas between them, or off"))
    }

    fn show(&self) -> String {
        if self.is_empty() {
            return "off".into();
        }
        self.iter().map(String::from_utf8_lossy).collect::<Vec<_>>().join(",")
    }
}

impl Value for StoreUrl {
    fn read(text: &str) -> Result<Self, Expected> {
        text.parse().map_err(|error: Error| Cow::Owned(error.to_string()))
    }

    /// Without its secrets: only what has none can be read again.
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for BrokerUrl {
    fn read(text: &str) -> Result<Self, Expected> {
        text.parse().map_err(|error: Error| Cow::Owned(error.to_string()))
    }

    /// Without its secrets: only what has none can be read again.
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Damaged {
    fn read(text: &str) -> Result<Self, Expected> {
        match text {
            "refuse" => Ok(Self::Refuse),
            "set-aside" => Ok(Self::SetAside),
            _ => Err(Cow::Borrowed("expected refuse or set-aside")),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Refuse => "refuse".into(),
            Self::SetAside => "set-aside".into(),
        }
    }
}

impl Value for LevelFilter {
    fn read(text: &str) -> Result<Self, Expected> {
        match text {
            "off" | "error" | "warn" | "info" | "debug" | "trace" => {
                text.parse().map_err(|_| Cow::Borrowed("expected a level"))
            }
            _ => Err(Cow::Borrowed("expected off, error, warn, info, debug or trace")),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show())
    }
}

impl fmt::Debug for Derived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show())
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show())
    }
}

impl<T: Value> fmt::Debug for Switch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_every_unit_and_shown_in_the_largest_that_fits() {
        for (text, bytes) in
            [("0", 0), ("17", 17), ("256MiB", 256 << 20), ("1 gib", 1 << 30), ("5MB", 5_000_000)]
        {
            assert_eq!(Size::read(text), Ok(Size(bytes)), "{text}");
        }
        for text in
            ["", "MiB", "-1", "1.5GiB", "1XB", "99999999999999999999", "18446744073709551615KiB", "1MiB2"]
        {
            assert!(Size::read(text).is_err(), "{text}");
        }
        assert_eq!(Size(256 << 20).show(), "256MiB");
        assert_eq!(Size(1_500).show(), "1500B");
        assert_eq!(Size(0).show(), "0B");
    }

    #[test]
    fn a_time_needs_its_unit() {
        assert_eq!(Span::read("10s"), Ok(Span(Duration::from_secs(10))));
        assert_eq!(Span::read("250ms"), Ok(Span(Duration::from_millis(250))));
        for text in ["10", "s", "1.5s", "10 days"] {
            assert!(Span::read(text).is_err(), "{text}");
        }
        assert_eq!(Span(Duration::from_millis(90_000)).show(), "90s");
        assert_eq!(Span(Duration::ZERO).show(), "0ms");
    }

    #[test]
    fn off_turns_off_and_anything_else_must_be_right() {
        assert_eq!(Switch::<SocketAddr>::read("off"), Ok(Switch::Off));
        assert!(Switch::<SocketAddr>::read("127.0.0.1:0").is_ok());
        assert!(Switch::<SocketAddr>::read("localhost").is_err());
    }
}
