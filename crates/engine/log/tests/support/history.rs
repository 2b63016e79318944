//! One random history: several lives of a log, each ended by a crash, a kill or a close, at any point.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use forebay_contract::files::{Operation, Saboteur};
use forebay_contract::random::Random;
use forebay_core::error::Kind;
use forebay_core::ports::files::Files;
use forebay_log::{Class, Damaged, Log, LogOptions, Opened, open};

use super::model::{Appended, Broken, Model};

/// What stands between the log and the saboteur's files.
pub(crate) type Wrap = fn(Saboteur) -> Arc<dyn Files>;

/// Nothing stands between.
pub(crate) fn bare(files: Saboteur) -> Arc<dyn Files> {
    Arc::new(files)
}

/// What happened in some histories, so that a test can show that they were worth running.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) lives: u64,
    pub(crate) records: u64,
    pub(crate) confirmed: u64,
    pub(crate) torn: u64,
    pub(crate) clean: u64,
    pub(crate) rolled: u64,
    pub(crate) released: u64,
    pub(crate) poisoned: u64,
    pub(crate) failed_openings: u64,
}

/// Runs the history of this seed, and says which promise was broken if one was.
pub(crate) fn history(seed: u64, wrap: Wrap, seen: &mut Seen) -> Result<(), Broken> {
    let mut random = Random::new(seed);
    let options = LogOptions {
        segment_bytes: 512 << random.below(3),
        pending_bytes_max: 2048 << random.below(2),
        disk_bytes_max: 64 * 1024,
        damaged: Damaged::Refuse,
    };
    let mut model = Model::default();
    let mut files = Saboteur::new();
    for _ in 0..2 + random.below(4) {
        files = life(files, wrap, &options, &mut model, &mut random, seen)?;
    }
    // The last opening is undisturbed: everything that was ever owed is there now.
    let Opened { log, .. } =
        reopen(&files, wrap, &options, &mut model)?.map_err(|error| error.to_string())?;
    for record in model.records.values() {
        model.check_read(&log, record, false)?;
    }
    Ok(())
}

/// Opens the log and holds what it replays against the model.
fn reopen(
    files: &Saboteur,
    wrap: Wrap,
    options: &LogOptions,
    model: &mut Model,
) -> Result<Result<Opened, forebay_core::error::Error>, Broken> {
    let mut replayed = Vec::new();
    let opened = open(wrap(files.clone()), options.clone(), &mut |record| {
        replayed.push(Appended { position: record.position, kind: record.kind, body: record.body.to_vec() });
        Ok(())
    });
    if opened.is_ok() {
        model.replayed(replayed)?;
    }
    Ok(opened)
}

/// From one opening to the end of the process, and the files as the next life finds them.
fn life(
    files: Saboteur,
    wrap: Wrap,
    options: &LogOptions,
    model: &mut Model,
    random: &mut Random,
    seen: &mut Seen,
) -> Result<Saboteur, Broken> {
    seen.lives += 1;
    if random.one_in(6) {
        files.power_off_after(random.below(12));
    }
    let mut disturbed = random.one_in(12);
    if disturbed {
        sabotage(&files, random);
    }
    match reopen(&files, wrap, options, model)? {
        Ok(Opened { log, recovered, .. }) => {
            seen.torn += u64::from(recovered.torn_bytes > 0);
            seen.clean += u64::from(recovered.clean);
            disturbed |= live(&log, &files, model, random, seen)?;
            if random.one_in(4) {
                log.close();
                while log.step() {}
                model.durable(log.durable_sequence());
                if !disturbed && !files.is_off() && !log.stats().poisoned && random.one_in(2) {
                    let next = if random.one_in(2) { files.restart() } else { files.crash(random.draw()) };
                    return closed(next, wrap, options, model);
                }
            }
        }
        // Also where a segment could not be made, and so there is no room for the opening record: the disk has space.
        Err(error) if error.kind() == Kind::Io => seen.failed_openings += 1,
        Err(error) => return Err(format!("a log that was never damaged was refused: {error}")),
    }
    // A kill without loss of power leaves the disk as it is, and what was not synced stays so. When the power is off,
    // the kill came in the middle of an operation.
    let killed = random.one_in(3);
    seen.poisoned += u64::from(disturbed);
    Ok(if killed { files.restart() } else { files.crash(random.draw()) })
}

/// A log that was closed in good order opens clean.
fn closed(files: Saboteur, wrap: Wrap, options: &LogOptions, model: &mut Model) -> Result<Saboteur, Broken> {
    match reopen(&files, wrap, options, model)? {
        Ok(opened) if opened.recovered.clean && opened.recovered.torn_bytes == 0 => Ok(files.restart()),
        Ok(opened) => Err(format!("a closed log was not clean: {:?}", opened.recovered)),
        Err(error) => Err(format!("a closed log was refused: {error}")),
    }
}

/// What happens in one life. True if a write or sync was made to fail.
fn live(
    log: &Log,
    files: &Saboteur,
    model: &mut Model,
    random: &mut Random,
    seen: &mut Seen,
) -> Result<bool, Broken> {
    let first = *log.segments().end();
    let mut disturbed = false;
    for _ in 0..random.below(60) {
        match random.below(16) {
            0..=6 => append(log, model, random, seen)?,
            7..=10 => drop(log.step()),
            11 => read(log, files, model, random)?,
            12 if random.one_in(2) => release(log, model, random, seen)?,
            13 => scan(log, files, model, random)?,
            14 if random.one_in(6) => {
                sabotage(files, random);
                disturbed = true;
            }
            15 if random.one_in(6) => files.power_off_after(random.below(8)),
            _ => {}
        }
        confirm(log, model, seen)?;
    }
    seen.rolled += *log.segments().end() - first;
    Ok(disturbed || log.stats().poisoned)
}

fn sabotage(files: &Saboteur, random: &mut Random) {
    let operations =
        [Operation::Write, Operation::Sync, Operation::SyncNames, Operation::Rename, Operation::Create];
    let operation = operations[random.below(5) as usize];
    files.fail(operation, 1 + random.below(6), Kind::Io);
}

fn append(log: &Log, model: &mut Model, random: &mut Random, seen: &mut Seen) -> Result<(), Broken> {
    let size = if random.one_in(5) { random.below(420) } else { random.below(60) };
    let body = random.bytes(size as usize);
    let kind = random.below(240) as u8;
    let (head, tail) = body.split_at(random.below(size + 1) as usize);
    let parts = [head, tail];
    let placed = if random.one_in(8) {
        log.append(Class::Free, kind, &parts)
    } else {
        log.append(Class::New, kind, &parts)
    };
    match placed {
        Ok(position) => {
            seen.records += 1;
            model.appended(Appended { position, kind, body })
        }
        Err(error) if matches!(error.kind(), Kind::Full | Kind::Poisoned) => Ok(()),
        Err(error) => Err(format!("an append failed: {error}")),
    }
}

/// What the log says is durable, by number and by future, is owed from now on.
fn confirm(log: &Log, model: &mut Model, seen: &mut Seen) -> Result<(), Broken> {
    let durable = log.durable_sequence();
    let last = model.records.last_key_value().map_or(0, |(sequence, _)| *sequence);
    let poll = pin!(log.durable(last)).poll(&mut Context::from_waker(Waker::noop()));
    match poll {
        Poll::Ready(Ok(())) if durable < last => {
            return Err("a wait ended before its record was durable".into());
        }
        Poll::Ready(Err(_)) if !log.stats().poisoned => return Err("a wait failed without a cause".into()),
        _ => {}
    }
    model.durable(durable);
    seen.confirmed = seen.confirmed.max(durable);
    Ok(())
}

fn read(log: &Log, files: &Saboteur, model: &Model, random: &mut Random) -> Result<(), Broken> {
    let count = model.records.len() as u64;
    match model.records.values().nth(random.below(count) as usize) {
        Some(record) => model.check_read(log, record, files.is_off() || log.stats().poisoned),
        None => Ok(()),
    }
}

fn release(log: &Log, model: &mut Model, random: &mut Random, seen: &mut Seen) -> Result<(), Broken> {
    let (first, last) = (*log.segments().start(), *log.segments().end());
    let before = first + random.below(last - first + 2);
    if log.release_before(before).is_ok() {
        let now = *log.segments().start();
        if now > before.max(first) {
            return Err(format!("segments before {before} were released, and {now} is the first"));
        }
        seen.released += now - first;
        model.released(now);
    }
    Ok(())
}

fn scan(log: &Log, files: &Saboteur, model: &Model, random: &mut Random) -> Result<(), Broken> {
    let (first, last) = (*log.segments().start(), *log.segments().end());
    let segment = first + random.below(last - first + 1);
    let mut found = Vec::new();
    let scanned = log.scan(segment, &mut |record| {
        found.push(Appended { position: record.position, kind: record.kind, body: record.body.to_vec() });
        Ok(())
    });
    match scanned {
        Ok(damage) if !damage.is_empty() => Err(format!("segment {segment} is damaged at {damage:?}")),
        Ok(_) => {
            let owed: Vec<_> =
                model.records.values().filter(|record| record.position.segment == segment).cloned().collect();
            if owed == found { Ok(()) } else { Err(format!("segment {segment} was scanned wrong")) }
        }
        Err(error) if error.kind() == Kind::Unavailable || files.is_off() => Ok(()),
        Err(error) => Err(format!("segment {segment} was not scanned: {error}")),
    }
}
