//! The parts of meta answers: a blank, a letter, and what belongs to it.

use forebay_core::entry::Expiry;
use forebay_core::time::Instant;
use forebay_wire::memcached::meta::key::MetaKey;
use forebay_wire::memcached::words::Words;

use crate::expiry::seconds_left;
use crate::reply;

/// A letter.
pub(crate) fn letter(out: &mut Vec<u8>, letter: u8) {
    out.extend_from_slice(&[b' ', letter]);
}

/// A letter and a number.
pub(crate) fn number(out: &mut Vec<u8>, name: u8, value: u64) {
    letter(out, name);
    reply::number(out, value);
}

/// The key, in the form in which the request had it.
pub(crate) fn key(out: &mut Vec<u8>, key: &MetaKey<'_>) {
    letter(out, b'k');
    key.write_text(out);
    if key.is_binary() {
        letter(out, b'b');
    }
}

/// The seconds left to live.
pub(crate) fn time_left(out: &mut Vec<u8>, expires_at: Expiry, now: Instant) {
    letter(out, b't');
    reply::signed(out, seconds_left(expires_at, now));
}

/// The opaque as it came.
pub(crate) fn opaque(out: &mut Vec<u8>, word: &[u8]) {
    out.push(b' ');
    out.extend_from_slice(word);
}

/// Opaque and key, as every answer gives them back where they were asked for, and the line end.
pub(crate) fn echo(out: &mut Vec<u8>, flags: Words<'_>, asked: &MetaKey<'_>) {
    for word in flags {
        match word.first() {
            Some(b'O') => opaque(out, word),
            Some(b'k') => key(out, asked),
            _ => {}
        }
    }
    out.extend_from_slice(b"\r\n");
}
