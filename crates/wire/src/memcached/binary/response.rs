//! What a server answers, as bytes, appended to one output.

use std::fmt::Display;
use std::io::Write;

use super::request::Echo;
use super::status::Status;
use super::{HEADER_BYTES, RESPONSE_MAGIC};

/// One answer.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// How the request ended.
    pub status: Status,
    /// The version of the entry; 0 where there is none to tell.
    pub version: u64,
    /// What stands before the key.
    pub extras: &'a [u8],
    /// The key, where it is given back.
    pub key: &'a [u8],
    /// The value, a number of 8 bytes, or words.
    pub value: &'a [u8],
}

impl Response<'_> {
    /// Well, and nothing to show but the version.
    pub const fn done(version: u64) -> Self {
        Self { status: Status::Success, version, extras: &[], key: &[], value: &[] }
    }

    /// Not well, in the words that belong to it.
    pub const fn refused(status: Status) -> Self {
        Self { status, version: 0, extras: &[], key: &[], value: status.text().as_bytes() }
    }
}

/// Appends a response.
pub fn write(out: &mut Vec<u8>, echo: Echo, response: &Response<'_>) {
    let Response { status, version, extras, key, value } = *response;
    let body = extras.len() + key.len() + value.len();
    // Together there is room in one piece, so that a hit extends the output at most once.
    out.reserve(HEADER_BYTES + body);
    out.extend_from_slice(&header(echo, status, version, (extras.len(), key.len(), body)));
    out.extend_from_slice(extras);
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}

/// Appends a name and a value, one of many to the same request. The last is empty.
pub fn write_stat(out: &mut Vec<u8>, echo: Echo, name: impl Display, value: impl Display) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    // Writing to memory cannot fail.
    let _ = write!(out, "{name}");
    let key = out.len() - start - HEADER_BYTES;
    let _ = write!(out, "{value}");
    let body = out.len() - start - HEADER_BYTES;
    if let Some(place) = out.get_mut(start..start + HEADER_BYTES) {
        place.copy_from_slice(&header(echo, Status::Success, 0, (0, key, body)));
    }
}

/// Lengths fit: extras and keys are short, and values are bounded far below 4 GiB.
fn header(
    echo: Echo,
    status: Status,
    version: u64,
    (extras, key, body): (usize, usize, usize),
) -> [u8; HEADER_BYTES] {
    let ([key_high, key_low], [status_high, status_low]) =
        ((key as u16).to_be_bytes(), status.code().to_be_bytes());
    let mut header = [0; HEADER_BYTES];
    let parts: [&[u8]; 4] = [
        &[RESPONSE_MAGIC, echo.opcode, key_high, key_low, extras as u8, 0, status_high, status_low],
        &(body as u32).to_be_bytes(),
        &echo.opaque,
        &version.to_be_bytes(),
    ];
    for (place, byte) in header.iter_mut().zip(parts.into_iter().flatten()) {
        *place = *byte;
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECHO: Echo = Echo { opcode: 0x0c, opaque: [1, 2, 3, 4] };

    #[test]
    fn a_response_is_its_header_and_its_parts_in_order() {
        let mut out = Vec::new();
        let response = Response { extras: b"flag", key: b"key", value: b"value", ..Response::done(0x0102) };
        write(&mut out, ECHO, &response);
        let header = [0x81, 0x0c, 0, 3, 4, 0, 0, 0, 0, 0, 0, 12, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 1, 2];
        assert_eq!(out, [&header[..], b"flagkeyvalue"].concat());
    }

    #[test]
    fn a_refusal_says_why_in_words() {
        let mut out = Vec::new();
        write(&mut out, ECHO, &Response::refused(Status::Unknown));
        assert_eq!(
            (&out[6..8], &out[11..12], &out[24..]),
            (&[0, 0x81][..], &[15][..], &b"Unknown command"[..])
        );
    }

    #[test]
    fn a_stat_has_its_name_as_the_key() {
        let (mut out, mut same) = (Vec::new(), Vec::new());
        write_stat(&mut out, ECHO, "pid", 42);
        write(&mut same, ECHO, &Response { key: b"pid", value: b"42", ..Response::done(0) });
        assert_eq!(out, same);
        write_stat(&mut out, ECHO, "", "");
        write(&mut same, ECHO, &Response::done(0));
        assert_eq!(out, same);
    }
}
