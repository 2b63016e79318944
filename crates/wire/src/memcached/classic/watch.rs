//! `watch`: a connection from which nothing but events is wanted any more.

use crate::memcached::command::{Command, Refused, Watches};
use crate::memcached::refusal::Refusal;
use crate::memcached::words::Line;

/// `watch [<events>...]`; without any it is the fetchers.
pub(in crate::memcached) fn watch<'a>(line: &Line<'a>) -> Command<'a> {
    let mut watches = Watches { fetchers: line.count() == 1, ..Watches::default() };
    for word in line.from(1) {
        match *word {
            b"fetchers" => watches.fetchers = true,
            b"mutations" => watches.mutations = true,
            b"evictions" => watches.evictions = true,
            b"connevents" => watches.connections = true,
            // Events of machinery that is not here: none will ever come.
            b"rawcmds" | b"sysevents" | b"proxyreqs" | b"proxyevents" | b"proxyuser" => {}
            _ => return Refused::aloud(Refusal::Unknown).into(),
        }
    }
    Command::Watch(watches)
}
