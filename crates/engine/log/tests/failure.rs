//! A failed write or sync of records stops the log for good; a full disk, or a segment that cannot be made, stops it only
//! until there is room.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::thread;

use forebay_contract::files::{Operation, Saboteur};
use forebay_core::error::Kind;
use forebay_core::ports::clock::{Run, Work};
use forebay_core::ports::files::Files;
use forebay_log::{Class, Damaged, Log, LogOptions, Opened, Position, open};

const OPTIONS: LogOptions = LogOptions {
    segment_bytes: 512,
    pending_bytes_max: 2048,
    disk_bytes_max: 8 * 512,
    damaged: Damaged::Refuse,
};

fn start(files: &Saboteur) -> (Log, Vec<Work>, Vec<Position>) {
    let mut replayed = Vec::new();
    let opened = open(Arc::new(files.clone()), OPTIONS, &mut |record| {
        replayed.push(record.position);
        Ok(())
    });
    let Opened { log, work, .. } = opened.unwrap();
    (log, work, replayed)
}

fn run(work: Vec<Work>) -> Vec<thread::JoinHandle<()>> {
    work.into_iter()
        .map(|work| match work.run {
            Run::Thread(run) => thread::spawn(run),
            Run::Task(_) => panic!("{} is not a thread", work.name),
        })
        .collect()
}

fn settle(log: &Log) {
    while log.step() {}
}

const BODY: [u8; 100] = [7; 100];

/// Appends until the log is full, and returns what it took.
fn fill(log: &Log) -> Vec<Position> {
    let mut taken = Vec::new();
    loop {
        match log.append(Class::New, 1, &[&BODY]) {
            Ok(position) => taken.push(position),
            Err(error) => {
                assert_eq!(error.kind(), Kind::Full);
                return taken;
            }
        }
        settle(log);
    }
}

#[test]
fn after_any_failed_write_or_sync_nothing_more_is_confirmed() {
    let mut poisoned = 0;
    for operation in [Operation::Write, Operation::Sync] {
        for nth in 1..80 {
            let files = Saboteur::new();
            let (log, _, _) = start(&files);
            files.fail(operation, nth, Kind::Io);
            let mut taken: Vec<Position> = Vec::new();
            while let Ok(position) = log.append(Class::New, 1, &[&BODY]) {
                taken.push(position);
                settle(&log);
                let before = *log.segments().end() - 1;
                if taken.len() > 60 || (taken.len() > 12 && log.release_before(before).is_err()) {
                    break;
                }
            }
            if !log.stats().poisoned {
                continue;
            }
            poisoned += 1;
            let durable = log.durable_sequence();
            settle(&log);
            for position in &taken {
                let waited = log.wait_durable(position.sequence);
                match position.sequence <= durable {
                    true => assert!(waited.is_ok()),
                    false => assert_eq!(waited.unwrap_err().kind(), Kind::Poisoned),
                }
            }
            assert_eq!(log.append(Class::Free, 1, &[b"x"]).unwrap_err().kind(), Kind::Poisoned);
            assert_eq!(log.release_before(1).unwrap_err().kind(), Kind::Poisoned);
            assert_eq!(log.durable_sequence(), durable, "{operation:?} {nth}");
            let first = *log.segments().start();
            log.close();
            settle(&log);
            let (_, _, replayed) = start(&files.crash(nth));
            let owed =
                taken.iter().filter(|position| position.sequence <= durable && position.segment >= first);
            assert!(owed.clone().count() > 0 || nth < 4);
            owed.for_each(|position| {
                assert!(replayed.contains(position), "{operation:?} {nth} {position:?}")
            });
        }
    }
    assert!(poisoned > 80, "{poisoned}");
}

/// Whatever fails while a segment is made, recycled or removed: appends stop at most, and come back by themselves.
#[test]
fn a_segment_that_cannot_be_made_stops_appends_and_comes_back() {
    for operation in [Operation::SyncNames, Operation::Rename, Operation::Create, Operation::Remove] {
        for nth in 1..30 {
            let files = Saboteur::new();
            let (log, _, _) = start(&files);
            files.fail(operation, nth, Kind::Io);
            let (mut taken, mut refused) = (Vec::new(), 0);
            while taken.len() < 100 {
                match log.append(Class::New, 1, &[&BODY]) {
                    Ok(position) => taken.push(position),
                    Err(error) => {
                        assert_eq!(error.kind(), Kind::Full, "{operation:?} {nth}");
                        refused += 1;
                        assert!(refused < 20, "{operation:?} {nth}: it did not come back");
                    }
                }
                settle(&log);
                log.release_before(log.segments().end().saturating_sub(1)).unwrap();
                assert!(files.used_bytes() <= OPTIONS.disk_bytes_max, "{operation:?} {nth}");
            }
            assert!(!log.stats().poisoned);
            let (_, _, replayed) = start(&files.crash(nth));
            let first = *log.segments().start();
            let live = taken.iter().filter(|position| position.segment >= first);
            live.for_each(|position| assert!(replayed.contains(position), "{operation:?} {nth}"));
        }
    }
}

/// A retired file that has got its new name already, when making that name durable fails, and perhaps also giving it
/// back; then the power goes at any moment.
#[test]
fn a_retired_file_caught_between_two_names_loses_nothing_and_stops_nothing() {
    let mut recycled = 0;
    for (names, renames, power) in (0..8)
        .flat_map(|names| (0..5).flat_map(move |renames| (0..6).map(move |power| (names, renames, power))))
    {
        let files = Saboteur::new();
        let (log, _, _) = start(&files);
        let mut taken = Vec::new();
        let append = |taken: &mut Vec<Position>| {
            if let Ok(position) = log.append(Class::New, 1, &[&BODY]) {
                taken.push(position);
            }
            settle(&log);
        };
        while taken.len() < 12 {
            append(&mut taken);
        }
        let renamed = files.count(Operation::Rename);
        files.fail(Operation::SyncNames, 1 + names, Kind::Io);
        files.fail(Operation::Rename, 2 + renames, Kind::Io);
        if power > 0 {
            files.power_off_after(4 * power);
        }
        for _ in 0..20 {
            drop(log.release_before(log.segments().end().saturating_sub(1)));
            append(&mut taken);
        }
        recycled += files.count(Operation::Rename) - renamed;
        assert!(power > 0 || taken.len() > 24, "it came back: {names} {renames} {}", taken.len());
        let (first, durable) = (*log.segments().start(), log.durable_sequence());
        let files = if (names + renames) % 2 == 0 { files.restart() } else { files.crash(names) };
        let (log, _, replayed) = start(&files);
        let owed = taken.iter().filter(|at| at.segment >= first && at.sequence <= durable);
        owed.for_each(|position| assert!(replayed.contains(position), "{names} {renames} {power}"));
        drop(log.release_before(*log.segments().end()));
        settle(&log);
        assert!(log.append(Class::New, 1, &[&BODY]).is_ok());
        assert!(files.used_bytes() <= OPTIONS.disk_bytes_max);
    }
    assert!(recycled > 1_000, "{recycled}");
}

#[test]
fn a_retired_file_whose_new_name_could_not_be_made_durable_is_used_by_the_next_attempt() {
    let files = Saboteur::new();
    let (log, _, _) = start(&files);
    let taken = fill(&log);
    let created = files.count(Operation::Create);
    // The first is for the name that it loses, the second for the one that it gets.
    files.fail(Operation::SyncNames, 2, Kind::Io);
    log.release_before(taken.last().unwrap().segment).unwrap();
    settle(&log);
    settle(&log);
    assert!(log.append(Class::New, 1, &[&BODY]).is_ok());
    assert_eq!(files.count(Operation::Create), created, "no file was lost on the way");
    assert!(files.list().unwrap().iter().all(|name| !name.starts_with("new-")));
}

/// As when all descriptors are in use.
#[test]
fn segments_that_cannot_be_made_for_long_only_stop_appends() {
    let files = Saboteur::new();
    let (log, _, _) = start(&files);
    (1..=40).for_each(|nth| files.fail(Operation::Create, nth, Kind::Io));
    let taken = fill(&log);
    assert!(log.stats().full && !log.stats().poisoned);
    assert_eq!(log.durable_sequence(), taken.last().unwrap().sequence);
    (0..40).for_each(|_| settle(&log));
    let position = log.append(Class::New, 1, &[&BODY]).unwrap();
    settle(&log);
    assert_eq!(log.durable_sequence(), position.sequence);
}

/// A file whose sync failed may claim at the next one that all is well.
#[test]
fn a_prepared_segment_whose_zeros_cannot_be_synced_is_not_used() {
    let files = Saboteur::new();
    let (log, _, _) = start(&files);
    // One sync for each of three headers, the next for the first one's zeros.
    files.fail(Operation::Sync, 4, Kind::Io);
    settle(&log);
    settle(&log);
    assert!(!log.stats().poisoned);
    assert!(files.count(Operation::Remove) >= 1, "it was given up");
    let taken = fill(&log);
    assert!(taken.len() > 12);
    let (_, _, replayed) = start(&files.crash(1));
    assert_eq!(replayed, taken);
}

#[test]
fn poison_reaches_who_waits_and_ends_the_work() {
    let files = Saboteur::new();
    let (log, work, _) = start(&files);
    // Every segment is ready, so that the next sync is the writer's.
    settle(&log);
    files.fail(Operation::Sync, 1, Kind::Io);
    let position = log.append(Class::New, 1, &[b"x"]).unwrap();
    let waiter = {
        let log = log.clone();
        thread::spawn(move || log.wait_durable(position.sequence))
    };
    let threads = run(work);
    assert_eq!(waiter.join().unwrap().unwrap_err().kind(), Kind::Poisoned);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn at_the_disk_budget_appends_are_refused_until_segments_are_released() {
    let files = Saboteur::new();
    let (log, _, _) = start(&files);
    settle(&log);
    let taken = fill(&log);
    let stats = log.stats();
    assert!(stats.full && !stats.poisoned && stats.disk_bytes == OPTIONS.disk_bytes_max);
    assert_eq!(files.used_bytes(), OPTIONS.disk_bytes_max);
    assert_eq!(log.durable_sequence(), taken.last().unwrap().sequence);

    log.release_before(taken[8].segment).unwrap();
    settle(&log);
    assert!(!log.stats().full);
    let more = fill(&log);
    assert!(!more.is_empty() && files.used_bytes() <= OPTIONS.disk_bytes_max);
    let (_, _, replayed) = start(&files.restart().crash(1));
    let live = taken.iter().chain(&more).filter(|position| position.segment >= taken[8].segment);
    assert_eq!(replayed, live.copied().collect::<Vec<_>>());
}

#[test]
fn a_full_disk_stops_appends_and_the_log_goes_on_by_itself_when_room_returns() {
    let files = Saboteur::new();
    files.limit_bytes(Some(5 * 512));
    let (log, _, _) = start(&files);
    settle(&log);
    let taken = fill(&log);
    assert!(log.stats().full && !log.stats().poisoned);
    assert_eq!(log.append(Class::New, 1, &[&BODY]).unwrap_err().kind(), Kind::Full);
    assert_eq!(log.durable_sequence(), taken.last().unwrap().sequence);

    files.limit_bytes(None);
    settle(&log);
    assert!(!log.stats().full);
    let position = log.append(Class::New, 1, &[&BODY]).unwrap();
    settle(&log);
    assert_eq!(log.durable_sequence(), position.sequence);
    let (_, _, replayed) = start(&files.restart().crash(1));
    assert_eq!(replayed.len(), taken.len() + 1);
}

#[test]
fn when_the_disk_is_full_steps_are_taken_for_a_while_and_what_frees_space_for_longer() {
    let files = Saboteur::new();
    let (log, _, _) = start(&files);
    settle(&log);
    let taken = fill(&log);
    let whole_segment = (512 - 64) / 32;
    for class in [Class::Step, Class::Free] {
        let mut appended = 0;
        while log.append(class, 2, &[b"a word"]).is_ok() {
            settle(&log);
            appended += 1;
        }
        assert!(appended >= whole_segment, "{class:?}: {appended}");
        assert_eq!(log.append(Class::New, 1, &[b"x"]).unwrap_err().kind(), Kind::Full);
        assert_eq!(log.append(Class::Step, 1, &[b"x"]).unwrap_err().kind(), Kind::Full);
    }
    log.release_before(taken.last().unwrap().segment).unwrap();
    settle(&log);
    assert!(log.append(Class::New, 1, &[b"x"]).is_ok());
}

#[test]
fn a_log_opens_on_a_full_disk_and_still_takes_what_frees_space() {
    let files = Saboteur::new();
    let (log, _, _) = start(&files);
    settle(&log);
    let taken = fill(&log);
    let files = files.restart();
    files.limit_bytes(Some(0));
    let (log, _, replayed) = start(&files);
    assert_eq!(replayed, taken);
    settle(&log);
    assert!(log.append(Class::Free, 2, &[b"settled"]).is_ok());
    log.release_before(taken[8].segment).unwrap();
    settle(&log);
    assert!(log.append(Class::New, 1, &[&BODY]).is_ok());
}

#[test]
fn the_preparing_thread_wakes_when_segments_are_released() {
    let files = Saboteur::new();
    let (log, work, _) = start(&files);
    let threads = run(work);
    // Refusals in between only say that the next segment is not ready yet.
    let mut last = None;
    while !log.stats().full {
        match log.append(Class::New, 1, &[&BODY]) {
            Ok(position) => last = Some(position),
            Err(_) => thread::yield_now(),
        }
    }
    let last = last.unwrap();
    log.wait_durable(last.sequence).unwrap();
    log.release_before(last.segment).unwrap();
    while log.append(Class::New, 1, &[&BODY]).is_err() {
        thread::yield_now();
    }
    log.close();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_batch_that_cannot_be_written_yet_has_a_bound() {
    let files = Saboteur::new();
    let (log, _, _) = start(&files);
    settle(&log);
    // Nobody writes.
    let mut taken = 0;
    let error = loop {
        match log.append(Class::New, 1, &[b"0123456789abcdef"]) {
            Ok(_) => taken += 40,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), Kind::Full);
    assert!(log.stats().pending_bytes == taken && taken <= OPTIONS.pending_bytes_max as u64);
    assert!(!log.stats().full, "that is not want of disk");
    settle(&log);
    assert!(log.append(Class::New, 1, &[b"x"]).is_ok());
}

#[test]
fn a_record_that_fills_a_segment_is_taken_and_a_larger_one_refused() {
    let files = Saboteur::new();
    let (log, _, _) = start(&files);
    settle(&log);
    let largest = vec![3; OPTIONS.body_bytes_max()];
    let position = log.append(Class::New, 1, &[&largest]).unwrap();
    assert_eq!(position.offset, 64);
    settle(&log);
    assert_eq!(log.read(position).unwrap(), largest);
    assert_eq!(log.append(Class::New, 1, &[&largest, b"x"]).unwrap_err().kind(), Kind::TooLarge);
    assert_eq!(log.append(Class::New, 240, &[b"x"]).unwrap_err().kind(), Kind::Invalid);
    assert_eq!(start(&files.restart()).2, [position]);
}

#[test]
fn a_log_that_nobody_holds_closes_itself() {
    let files = Saboteur::new();
    let (log, work, _) = start(&files);
    let threads = run(work);
    let position = log.append(Class::New, 1, &[b"x"]).unwrap();
    let durable = log.durable(position.sequence);
    drop(log);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    drop(durable);
    let files = files.restart();
    let opened = open(Arc::new(files), OPTIONS, &mut |_| Ok(())).unwrap();
    assert!(opened.recovered.clean && opened.recovered.records == 1);
}
