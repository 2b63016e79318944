//! `me <key> [b]`.

use super::key::MetaKey;
use crate::memcached::command::{Command, Refused};
use crate::memcached::parse::Limits;
use crate::memcached::refusal::Refusal;
use crate::memcached::words::Line;

/// A meta debug.
#[derive(Clone, Copy, Debug)]
pub struct MetaDebug<'a> {
    /// The key.
    pub key: MetaKey<'a>,
}

/// Words other than a `b` right after the key do not matter.
pub(in crate::memcached) fn debug<'a>(line: &Line<'a>, limits: &Limits) -> Command<'a> {
    let word = line.word(1);
    let key = match line.word(2) {
        _ if word.is_empty() || word.len() > limits.key_bytes_max => None,
        b"b" => MetaKey::binary(word),
        _ => Some(MetaKey::plain(word)),
    };
    match key {
        Some(key) => Command::MetaDebug(MetaDebug { key }),
        None => Refused::aloud(Refusal::BadLine).into(),
    }
}
