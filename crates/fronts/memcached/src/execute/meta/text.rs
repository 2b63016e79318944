//! The parts of meta answers: a blank, a letter, and what belongs to it.

use forebay_core::entry::{Expiry, View};
use forebay_core::time::Instant;
use forebay_wire::memcached::meta::key::MetaKey;
use forebay_wire::memcached::parse::item_bytes;
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

/// What people are shown of an entry, whichever way `used` tells of its last use. The size is what memcached would have needed.
pub(in crate::execute) fn item_words(out: &mut Vec<u8>, key: &[u8], view: &View<'_>, used: u64) {
    for (name, value) in [(" la=", used), (" cas=", view.version.0)] {
        out.extend_from_slice(name.as_bytes());
        reply::number(out, value);
    }
    out.extend_from_slice(if view.read_before { b" fetch=yes" } else { b" fetch=no" });
    out.extend_from_slice(b" cls=1 size=");
    reply::number(out, item_bytes(key.len(), view.flags, view.value.len()) as u64);
}
