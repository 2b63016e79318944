//! What the cache must know of an entry beside its value: a small header before the value, where there is anything to know.
//!
//! A value without it is a plain one, the cache's own or another program's: fresh until it expires. See
//! `docs/decisions/0008-envelope.md`.

use forebay_core::entry::{State, View};
use forebay_core::time::Instant;

/// Marks, in the entry's flags, that its bytes begin with an envelope.
pub(crate) const FLAGS: u32 = 0xF0BE_BA71;

/// Bytes before the value: format, encoding, end of the fresh time, end of the pause after a failed load.
pub(crate) const BYTES: usize = 18;

const FORMAT: u8 = 1;

/// How the bytes behind the envelope are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// They are the value.
    Raw = 0,
    /// There are none: the source has no value.
    Negative = 1,
}

/// The header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) encoding: Encoding,
    /// Until when the value is good; the entry may live on, stale.
    pub(crate) fresh_until: Instant,
    /// Before this, no load is tried again: the last one failed.
    pub(crate) retry_at: Instant,
}

/// An entry as it lies open before a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opened<'a> {
    /// `None`: it is remembered that the source has none.
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) fresh_until: Instant,
    pub(crate) retry_at: Instant,
}

impl Opened<'_> {
    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        now < self.fresh_until
    }
}

impl Envelope {
    /// The entry's bytes.
    pub(crate) fn wrap(self, value: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BYTES + value.len());
        bytes.extend([FORMAT, self.encoding as u8]);
        bytes.extend(self.fresh_until.as_ms().to_le_bytes());
        bytes.extend(self.retry_at.as_ms().to_le_bytes());
        bytes.extend(value);
        bytes
    }
}

/// What the entry says; `None` where it has nothing to say: no value yet, one that was invalidated, or an envelope that
/// another program has changed. Bytes of a header are never taken for a value.
pub(crate) fn open<'a>(view: &View<'a>) -> Option<Opened<'a>> {
    if view.state != State::Fresh {
        return None;
    }
    if view.flags != FLAGS {
        let fresh_until = view.expires_at.unwrap_or(Instant::from_ms(u64::MAX));
        return Some(Opened { value: Some(view.value), fresh_until, retry_at: Instant::default() });
    }
    let (envelope, value) = unwrap(view.value)?;
    let value = match envelope.encoding {
        Encoding::Raw => Some(value),
        Encoding::Negative => None,
    };
    Some(Opened { value, fresh_until: envelope.fresh_until, retry_at: envelope.retry_at })
}

/// The envelope and the bytes behind it.
pub(crate) fn unwrap(bytes: &[u8]) -> Option<(Envelope, &[u8])> {
    let (&[FORMAT, encoding], bytes) = bytes.split_first_chunk()? else { return None };
    let (fresh_until, bytes) = bytes.split_first_chunk()?;
    let (retry_at, bytes) = bytes.split_first_chunk()?;
    let encoding = match encoding {
        0 => Encoding::Raw,
        1 if bytes.is_empty() => Encoding::Negative,
        _ => return None,
    };
    let moment = |bytes: &[u8; 8]| Instant::from_ms(u64::from_le_bytes(*bytes));
    Some((Envelope { encoding, fresh_until: moment(fresh_until), retry_at: moment(retry_at) }, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_core::entry::{Claim, Version};

    const NOW: Instant = Instant::from_ms(1_000);

    fn view(value: &[u8], flags: u32) -> View<'_> {
        View {
            value,
            flags,
            version: Version(1),
            expires_at: Some(Instant::from_ms(9_000)),
            state: State::Fresh,
            claim: Claim::None,
            read_before: false,
            accessed_at: NOW,
        }
    }

    fn envelope(encoding: Encoding) -> Envelope {
        Envelope { encoding, fresh_until: Instant::from_ms(5_000), retry_at: Instant::from_ms(6_000) }
    }

    #[test]
    fn what_was_wrapped_lies_open_again() {
        let bytes = envelope(Encoding::Raw).wrap(b"value");
        assert_eq!(bytes.len(), BYTES + 5);
        let opened = open(&view(&bytes, FLAGS)).unwrap();
        assert_eq!(opened.value, Some(&b"value"[..]));
        assert_eq!(opened.fresh_until.as_ms(), 5_000);
        assert_eq!(opened.retry_at.as_ms(), 6_000);
        let bytes = envelope(Encoding::Negative).wrap(b"");
        assert_eq!(open(&view(&bytes, FLAGS)).unwrap().value, None);
    }

    #[test]
    fn a_foreign_value_is_read_as_it_is_whatever_its_bytes() {
        let looks_like_one = envelope(Encoding::Negative).wrap(b"");
        for flags in [0, 1, FLAGS + 1, u32::MAX] {
            let opened = open(&view(&looks_like_one, flags)).unwrap();
            assert_eq!(opened.value, Some(&looks_like_one[..]), "flags {flags}");
            assert_eq!(opened.fresh_until.as_ms(), 9_000);
        }
    }

    #[test]
    fn a_header_that_another_program_changed_is_no_value() {
        let bytes = envelope(Encoding::Raw).wrap(b"value");
        for length in 0..BYTES {
            assert_eq!(open(&view(&bytes[..length], FLAGS)), None, "cut to {length}");
        }
        let prepended = [b"prepended".as_slice(), &bytes].concat();
        assert_eq!(open(&view(&prepended, FLAGS)), None);
        let mut appended = envelope(Encoding::Negative).wrap(b"");
        appended.extend(b"appended");
        assert_eq!(open(&view(&appended, FLAGS)), None);
        let mut unknown = bytes;
        unknown[1] = 9;
        assert_eq!(open(&view(&unknown, FLAGS)), None);
    }

    #[test]
    fn an_invalidated_or_leased_entry_is_no_value() {
        for state in [State::Stale, State::Leased] {
            assert_eq!(open(&View { state, ..view(b"value", 0) }), None);
        }
    }
}
