//! `get`, `gets`, `gat`, `gats`: any number of keys in one line.

use crate::memcached::command::{Command, Get, Refused};
use crate::memcached::number::signed_32;
use crate::memcached::parse::Limits;
use crate::memcached::refusal::Refusal;
use crate::memcached::words::Words;

/// `words` are those after the verb.
pub(in crate::memcached) fn get<'a>(words: Words<'a>, versions: bool, limits: &Limits) -> Command<'a> {
    read(words, None, versions, limits)
}

/// The first word after the verb is the new end of life.
pub(in crate::memcached) fn get_and_touch<'a>(
    mut words: Words<'a>,
    versions: bool,
    limits: &Limits,
) -> Command<'a> {
    let Some(exptime) = words.next() else {
        return Refused::aloud(Refusal::Unknown).into();
    };
    match signed_32(exptime) {
        Some(exptime) => read(words, Some(exptime), versions, limits),
        None => Refused::aloud(Refusal::BadExptime).into(),
    }
}

/// One key over its limit refuses the whole line, so all are looked at before the first is answered.
fn read<'a>(keys: Words<'a>, touch: Option<i32>, versions: bool, limits: &Limits) -> Command<'a> {
    let mut count = 0;
    for key in keys {
        if key.len() > limits.key_bytes_max {
            return Refused::aloud(Refusal::BadLine).into();
        }
        count += 1;
    }
    if count == 0 && touch.is_none() {
        return Refused::aloud(Refusal::Unknown).into();
    }
    Command::Get(Get { keys, touch, versions })
}
