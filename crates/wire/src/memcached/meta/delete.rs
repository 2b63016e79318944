//! `md <key> <flags>*`.

use super::flags::{check_line, read};
use super::key::MetaKey;
use crate::memcached::command::{Command, Refused};
use crate::memcached::parse::Limits;
use crate::memcached::refusal::Refusal;
use crate::memcached::words::{Line, Words};

/// A meta delete.
#[derive(Clone, Copy, Debug)]
pub struct MetaDelete<'a> {
    /// The key.
    pub key: MetaKey<'a>,
    /// The flags as they came: the reply follows their order.
    pub flags: Words<'a>,
    /// The version that must be there.
    pub compare: Option<u64>,
    /// The version that what stays is given, in place of the server's own.
    pub named: Option<u64>,
    /// The entry stays without its value.
    pub empties: bool,
    /// The client's own 32 bits, of an entry that stays without its value.
    pub client_flags: u32,
    /// The value stays, marked stale.
    pub stale: bool,
    /// A new end of life for what stays.
    pub touch: Option<i32>,
    /// Success is not answered.
    pub quiet: bool,
}

/// `words` are those after the verb.
pub(in crate::memcached) fn delete<'a>(
    line: &Line<'a>,
    mut words: Words<'a>,
    limits: &Limits,
) -> Command<'a> {
    if let Err(refusal) = check_line(line, Refusal::FlagsTooMany, limits) {
        return Refused::aloud(refusal).into();
    }
    let Ok(flags) = read(line, 2) else {
        return Refused::aloud(Refusal::InvalidOrDuplicateFlag).into();
    };
    if flags.opaque_too_long {
        return Refused::aloud(Refusal::OpaqueTooLong).into();
    }
    words.next();
    Command::MetaDelete(MetaDelete {
        key: flags.key,
        flags: words,
        compare: flags.compare,
        named: flags.named,
        empties: flags.empties,
        client_flags: flags.client_flags,
        stale: flags.stale,
        touch: flags.touch,
        quiet: flags.quiet,
    })
}
