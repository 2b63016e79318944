//! Which function carries out which command.

use forebay_core::ports::pledges::Pledges;
use forebay_wire::memcached::command::Command;
use forebay_wire::memcached::refusal::Refusal;

use super::meta::{count, delete, get as meta_get, set};
use super::paused::Paused;
use super::turn::Turn;
use super::{admin, binary, crawler, get, keyed, store};
use crate::backing::Backing;
use crate::reply;
use crate::stats::counters::Count;
use crate::version::VERSION;
use crate::watch::log::Kinds;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ran {
    /// It was answered, or needs no answer.
    Done,
    /// Some of its keys are answered, the others have to wait.
    Paused(Paused),
    /// Others must be asked for it, or for what is left of its keys.
    Asks(Option<Paused>),
    /// The client wants to be told of what happens from now on, and nothing else.
    Watches(Kinds),
    /// The client wants to go.
    Quit,
    /// It was refused, and nothing can follow it.
    Refused,
}

/// Carries out one command.
pub(crate) fn run<S: Pledges + 'static>(turn: &mut Turn<'_, S>, command: &Command<'_>) -> Ran {
    match command {
        Command::Get(command) => return get::get(turn, *command),
        Command::Store(command) => store::store(turn, *command),
        Command::Oversized(command) => store::oversized(turn, command),
        Command::Delete(command) => keyed::delete(turn, *command),
        Command::Count(command) => keyed::count(turn, *command),
        Command::Touch(command) => keyed::touch(turn, *command),
        Command::FlushAll(command) => admin::flush_all(turn, *command),
        Command::MetaGet(command) => meta_get::get(turn, command),
        Command::MetaDebug(command) => meta_get::debug(turn, command),
        Command::MetaSet(command) => set::set(turn, command),
        Command::MetaDelete(command) => delete::delete(turn, command),
        Command::MetaCount(command) => count::count(turn, command),
        Command::Binary(request) => return binary::run(turn, request),
        Command::Crawler(asked) => return crawler::crawler(turn, *asked),
        command => return run_without_key(turn, command),
    }
    Ran::Done
}

/// Goes on with a command that was answered in part. `input` begins with its line.
pub(crate) fn resume<S: Pledges>(turn: &mut Turn<'_, S>, paused: Paused, input: &[u8]) -> Ran {
    match paused {
        Paused::Get(paused) => get::get(turn, paused.rest(input)),
        Paused::Dump(from) => crawler::dump(turn, from),
    }
}

/// Carries out a command that is the same whatever is behind the front; what has a key is not one.
pub(crate) fn run_without_key<S: Backing>(turn: &mut Turn<'_, S>, command: &Command<'_>) -> Ran {
    match command {
        Command::MemoryLimit(command) => admin::memory_limit(turn, *command),
        Command::Stats(section) => admin::stats(turn, *section, None),
        Command::Binary(request) => return binary::run_without_key(turn, request),
        Command::Verbosity { quiet } => reply::line_unless(*quiet, turn.out, "OK"),
        Command::Version => {
            turn.out.extend_from_slice(b"VERSION ");
            reply::line(turn.out, VERSION);
        }
        Command::Shutdown => reply::line(turn.out, Refusal::ShutdownDisabled.text()),
        Command::Watch(watches) => return Ran::Watches((*watches).into()),
        Command::Quit => return Ran::Quit,
        Command::MetaNoop => reply::line(turn.out, "MN"),
        Command::Refused(refused) => {
            // A write is one once its value has come, whatever that was.
            if refused.refusal == Refusal::BadDataChunk {
                turn.tally.one(Count::Sets);
            }
            reply::line_unless(refused.quiet, turn.out, refused.refusal.text());
        }
        _ => {}
    }
    Ran::Done
}

/// Answers a write whose value is not taken in for want of memory.
pub(crate) fn refuse<S: Pledges>(turn: &mut Turn<'_, S>, command: &Command<'_>) {
    match command {
        Command::Oversized(command) => store::refuse(turn, command, Refusal::OutOfMemory),
        Command::Binary(request) => binary::refuse(turn, request),
        _ => {}
    }
}
