//! What the store says, in statuses of the binary protocol.

use forebay_core::entry::{Condition, Deleted, Mode as StoreMode, Version, View, Written};
use forebay_wire::memcached::binary::request::{Echo, Mode, Read, Request, Shows};
use forebay_wire::memcached::binary::response::{Response, write};
use forebay_wire::memcached::binary::status::Status;

/// Well, with the version of what is there now or 0; or not.
pub(crate) type Outcome = Result<u64, Status>;

/// One answer.
pub(crate) fn answer(out: &mut Vec<u8>, echo: Echo, outcome: Outcome) {
    match outcome {
        Ok(version) => write(out, echo, &Response::done(version)),
        Err(status) => write(out, echo, &Response::refused(status)),
    }
}

/// One answer, unless it would be that all is well and the client does not want to hear that.
pub(crate) fn answer_unless(quiet: bool, out: &mut Vec<u8>, echo: Echo, outcome: Outcome) {
    if !quiet || outcome.is_err() {
        answer(out, echo, outcome);
    }
}

/// What a read has found.
pub(crate) fn found(out: &mut Vec<u8>, echo: Echo, read: &Read<'_>, view: &View<'_>) {
    let (key, value) = match read.shows {
        Shows::Flags => (&[][..], &[][..]),
        Shows::Value => (&[][..], view.value),
        Shows::KeyAndValue => (read.key, view.value),
    };
    let extras = view.flags.to_be_bytes();
    write(out, echo, &Response { extras: &extras, key, value, ..Response::done(view.version.0) });
}

/// A read has found nothing. Who is given keys back has this one, in place of words.
pub(crate) fn missed(out: &mut Vec<u8>, request: &Request<'_>, read: &Read<'_>) {
    let refused = Response::refused(Status::NotFound);
    match read.shows {
        _ if request.quiet => {}
        Shows::KeyAndValue => write(out, request.echo, &Response { key: read.key, value: &[], ..refused }),
        Shows::Flags | Shows::Value => write(out, request.echo, &refused),
    }
}

/// What a write does with what is there, and when. With a version, set, add and replace are the same thing: something has
/// to be there.
pub(crate) fn mode_and_condition(mode: Mode, compare: u64) -> (StoreMode, Condition) {
    let condition = if compare == 0 { Condition::None } else { Condition::Version(Version(compare)) };
    let mode = match mode {
        Mode::Append => StoreMode::Append,
        Mode::Prepend => StoreMode::Prepend,
        _ if compare != 0 => StoreMode::Set,
        Mode::Set => StoreMode::Set,
        Mode::Add => StoreMode::Add,
        Mode::Replace => StoreMode::Replace,
    };
    (mode, condition)
}

/// What became of a write that was asked for in this mode.
pub(crate) const fn written(mode: Mode, outcome: Written) -> Outcome {
    match outcome {
        Written::Stored(version) => Ok(version.0),
        Written::Exists => Err(Status::Exists),
        Written::NotFound if matches!(mode, Mode::Append | Mode::Prepend) => Err(Status::NotStored),
        Written::NotFound => Err(Status::NotFound),
        Written::NotStored => Err(match mode {
            Mode::Add => Status::Exists,
            Mode::Replace => Status::NotFound,
            Mode::Set | Mode::Append | Mode::Prepend => Status::NotStored,
        }),
        Written::TooLarge => Err(Status::TooLarge),
        Written::NoRoom => Err(Status::OutOfMemory),
    }
}

/// What became of a deletion.
pub(crate) const fn deleted(outcome: Deleted) -> Outcome {
    match outcome {
        Deleted::Done => Ok(0),
        Deleted::NotFound => Err(Status::NotFound),
        Deleted::Exists => Err(Status::Exists),
    }
}

/// The new number of a counter, and its version.
pub(crate) fn counted(out: &mut Vec<u8>, request: &Request<'_>, number: u64, version: u64) {
    if !request.quiet {
        write(out, request.echo, &Response { value: &number.to_be_bytes(), ..Response::done(version) });
    }
}
