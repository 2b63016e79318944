//! `mg <key> <flags>*`.

use super::flags::{check_line, read};
use super::key::MetaKey;
use crate::memcached::command::{Command, Refused};
use crate::memcached::parse::Limits;
use crate::memcached::refusal::Refusal;
use crate::memcached::words::{Line, Words};

/// A meta get.
#[derive(Clone, Copy, Debug)]
pub struct MetaGet<'a> {
    /// The key.
    pub key: MetaKey<'a>,
    /// The flags as they came: the reply follows their order.
    pub flags: Words<'a>,
    /// The value is asked for.
    pub value: bool,
    /// A miss is not answered.
    pub quiet: bool,
    /// The read leaves no trace.
    pub unseen: bool,
    /// A miss leaves a placeholder with this end of life.
    pub vivify: Option<i32>,
    /// A new end of life.
    pub touch: Option<i32>,
    /// The version that a placeholder is given, in place of the server's own.
    pub named: Option<u64>,
    /// With less life left than this, one reader shall load anew.
    pub recache: Option<i32>,
}

/// `words` are those after the verb.
pub(in crate::memcached) fn get<'a>(line: &Line<'a>, mut words: Words<'a>, limits: &Limits) -> Command<'a> {
    let flags = match check_line(line, Refusal::FlagsTooManyForGet, limits).and_then(|()| read(line, 2)) {
        Ok(flags) if flags.opaque_too_long => return Refused::aloud(Refusal::OpaqueTooLong).into(),
        Ok(flags) => flags,
        Err(refusal) => return Refused::aloud(refusal).into(),
    };
    words.next();
    Command::MetaGet(MetaGet {
        key: flags.key,
        flags: words,
        value: flags.value,
        quiet: flags.quiet,
        unseen: flags.unseen,
        vivify: flags.vivify,
        touch: flags.touch,
        named: flags.named,
        recache: flags.recache,
    })
}
