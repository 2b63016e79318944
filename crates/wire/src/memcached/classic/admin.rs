//! Commands without a key: `flush_all`, `verbosity`, `stats`, `cache_memlimit`.

use crate::memcached::command::{Command, FlushAll, MemoryLimit, Refused, Section};
use crate::memcached::number::{signed_32, unsigned_32};
use crate::memcached::refusal::Refusal;
use crate::memcached::words::Line;

/// The smallest budget memcached takes.
const MEBIBYTES_MIN: u32 = 8;
/// Above it memcached takes the number for one of bytes.
const MEBIBYTES_MAX: u32 = 1_000_000_000;

/// `flush_all [delay] [noreply]`.
pub(in crate::memcached) fn flush_all<'a>(line: &Line<'a>) -> Command<'a> {
    let count = line.count();
    if count > 3 {
        return Refused::aloud(Refusal::Unknown).into();
    }
    let quiet = line.quiet();
    let delay = if count == 1 + usize::from(quiet) { Some(0) } else { signed_32(line.word(1)) };
    match delay {
        Some(delay) => Command::FlushAll(FlushAll { delay, quiet }),
        None => Refused { refusal: Refusal::BadExptime, quiet }.into(),
    }
}

/// `verbosity <level> [noreply]`.
pub(in crate::memcached) fn verbosity<'a>(line: &Line<'a>) -> Command<'a> {
    if !(2..=3).contains(&line.count()) {
        return Refused::aloud(Refusal::Unknown).into();
    }
    let quiet = line.quiet();
    match unsigned_32(line.word(1)) {
        Some(_) => Command::Verbosity { quiet },
        None => Refused { refusal: Refusal::BadLine, quiet }.into(),
    }
}

/// `cache_memlimit <mebibytes> [noreply]`.
pub(in crate::memcached) fn memory_limit<'a>(line: &Line<'a>) -> Command<'a> {
    if !(2..=3).contains(&line.count()) {
        return Refused::aloud(Refusal::Unknown).into();
    }
    let quiet = line.quiet();
    let refusal = match unsigned_32(line.word(1)) {
        None => Refusal::Unknown,
        Some(mebibytes) if mebibytes < MEBIBYTES_MIN => Refusal::LimitTooSmall,
        Some(mebibytes) if mebibytes > MEBIBYTES_MAX => Refusal::LimitInBytes,
        Some(mebibytes) => return Command::MemoryLimit(MemoryLimit { mebibytes, quiet }),
    };
    Refused { refusal, quiet }.into()
}

/// `stats [section]`. Words after the section do not matter.
pub(in crate::memcached) fn stats<'a>(line: &Line<'a>) -> Command<'a> {
    if line.count() == 1 {
        return Command::Stats(Section::General);
    }
    let refusal = match line.word(1) {
        b"settings" => return Command::Stats(Section::Settings),
        b"items" => return Command::Stats(Section::Items),
        b"slabs" => return Command::Stats(Section::Slabs),
        b"sizes" => return Command::Stats(Section::Sizes),
        b"conns" => return Command::Stats(Section::Connections),
        b"reset" => return Command::Stats(Section::Reset),
        b"detail" if !matches!(line.word(2), b"on" | b"off" | b"dump") => Refusal::DetailUsage,
        b"cachedump" => Refusal::DumpDisabled,
        _ => Refusal::Unknown,
    };
    Refused::aloud(refusal).into()
}
