//! `lru_crawler`: memcached's background walk through its items. Of it people want the dump of what is there.

use crate::memcached::command::{Command, Crawler, Refused};
use crate::memcached::number::unsigned;
use crate::memcached::refusal::Refusal;
use crate::memcached::words::Line;

/// The longest `sleep`, in microseconds.
const SLEEP_MAX: u64 = 1_000_000;
/// Classes that memcached can have.
const CLASSES: std::ops::Range<u64> = 1..64;

/// `lru_crawler enable|disable`, `lru_crawler sleep|tocrawl <number>`, `lru_crawler crawl|metadump <classes>|all`.
pub(in crate::memcached) fn crawler<'a>(line: &Line<'a>) -> Command<'a> {
    let argument = line.word(2);
    let asked = match (line.word(1), line.count()) {
        (b"enable", 2) => Ok(Crawler::Enable),
        (b"disable", 2) => Ok(Crawler::Disable),
        (b"sleep", 3) => tune(argument, SLEEP_MAX),
        (b"tocrawl", 3) => tune(argument, u64::MAX),
        (b"crawl", 3) => classes(argument).map(|_| Crawler::Crawl),
        (b"metadump", 3) if argument == b"hash" => Ok(Crawler::Dump { first_class: true }),
        (b"metadump", 3) => classes(argument).map(|first_class| Crawler::Dump { first_class }),
        _ => Err(Refusal::Unknown),
    };
    match asked {
        Ok(asked) => Command::Crawler(asked),
        Err(refusal) => Refused::aloud(refusal).into(),
    }
}

fn tune(argument: &[u8], most: u64) -> Result<Crawler, Refusal> {
    match unsigned(argument) {
        Some(number) if number > most => Err(Refusal::SleepTooLong),
        Some(_) => Ok(Crawler::Tune),
        None => Err(Refusal::BadLine),
    }
}

/// Whether the first class is among them: `all`, or numbers with commas between.
fn classes(text: &[u8]) -> Result<bool, Refusal> {
    if text == b"all" {
        return Ok(true);
    }
    let mut has_first = false;
    for class in text.split(|byte| *byte == b',').filter(|class| !class.is_empty()) {
        let number = unsigned(class).filter(|number| CLASSES.contains(number)).ok_or(Refusal::BadClass)?;
        has_first |= number == CLASSES.start;
    }
    Ok(has_first)
}
