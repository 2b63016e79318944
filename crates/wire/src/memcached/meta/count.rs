//! `ma <key> <flags>*`.

use super::flags::{check_line, read};
use super::key::MetaKey;
use crate::memcached::command::{Command, Refused};
use crate::memcached::parse::Limits;
use crate::memcached::refusal::Refusal;
use crate::memcached::words::{Line, Words};

/// A meta arithmetic.
#[derive(Clone, Copy, Debug)]
pub struct MetaCount<'a> {
    /// The key.
    pub key: MetaKey<'a>,
    /// The flags as they came: the reply follows their order, and so do the two ends of life.
    pub flags: Words<'a>,
    /// Up, else down.
    pub up: bool,
    /// By how much.
    pub delta: u64,
    /// Where there is none, one is made with this end of life.
    pub vivify: Option<i32>,
    /// The number that one starts with.
    pub initial: u64,
    /// A new end of life.
    pub touch: Option<i32>,
    /// The version that must be there; 0 means any.
    pub compare: u64,
    /// The version that the entry is given, in place of the server's own.
    pub named: Option<u64>,
    /// The number is asked for.
    pub value: bool,
    /// Success is not answered.
    pub quiet: bool,
}

/// `words` are those after the verb.
pub(in crate::memcached) fn count<'a>(line: &Line<'a>, mut words: Words<'a>, limits: &Limits) -> Command<'a> {
    if let Err(refusal) = check_line(line, Refusal::FlagsTooMany, limits) {
        return Refused::aloud(refusal).into();
    }
    let Ok(flags) = read(line, 2) else {
        return Refused::aloud(Refusal::InvalidOrDuplicateFlag).into();
    };
    let up = match flags.mode {
        None | Some(b'I' | b'+') => true,
        Some(b'D' | b'-') => false,
        Some(_) => return Refused::aloud(Refusal::CountMode).into(),
    };
    if flags.opaque_too_long {
        return Refused::aloud(Refusal::OpaqueTooLong).into();
    }
    words.next();
    Command::MetaCount(MetaCount {
        key: flags.key,
        flags: words,
        up,
        delta: flags.delta.unwrap_or(1),
        vivify: flags.vivify,
        initial: flags.initial,
        touch: flags.touch,
        compare: flags.compare.unwrap_or(0),
        named: flags.named,
        value: flags.value,
        quiet: flags.quiet,
    })
}
