//! Batches of which all or nothing is appended, and waiting for room in the order of arrival.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use forebay_contract::files::Saboteur;
use forebay_contract::runner::Runner;
use forebay_core::error::{Kind, Result};
use forebay_core::limits;
use forebay_core::ports::clock::Spawn;
use forebay_log::{Class, Damaged, Log, LogOptions, Opened, Position, Room, open};

const OPTIONS: LogOptions = LogOptions {
    segment_bytes: 512,
    pending_bytes_max: 16 * 1024,
    disk_bytes_max: 24 * 512,
    damaged: Damaged::Refuse,
};

/// One of these fills more than half a segment, so that each needs one of its own.
const BODY: [u8; 300] = [7; 300];

fn start(files: &Saboteur) -> Opened {
    open(Arc::new(files.clone()), OPTIONS, &mut |_| Ok(())).unwrap()
}

fn room(log: &Log, count: usize) -> Room {
    log.room(Class::New, std::iter::repeat_n(BODY.len(), count)).unwrap()
}

fn append(log: &Log, room: &Room, count: usize) -> Result<Option<Vec<Position>>> {
    log.append_all(room, 1, &vec![[&BODY[..]]; count])
}

fn poll(room: &mut Room) -> Poll<Result<()>> {
    Pin::new(room).poll(&mut Context::from_waker(Waker::noop()))
}

fn settle(log: &Log) {
    while log.step() {}
}

#[test]
fn a_batch_that_needs_more_segments_than_are_ready_waits_for_them_and_is_appended_whole() {
    let files = Saboteur::new();
    let Opened { log, .. } = start(&files);
    let count = 2 * limits::log::SEGMENTS_AHEAD;
    let mut room = room(&log, count);
    settle(&log);
    assert!(append(&log, &room, count).unwrap().is_none());
    assert_eq!(log.stats().records, 1, "nothing but the opening record");
    assert!(poll(&mut room).is_pending());
    settle(&log);
    assert!(matches!(poll(&mut room), Poll::Ready(Ok(()))));
    assert_eq!(append(&log, &room, count).unwrap().unwrap().len(), count);
    settle(&log);
    let mut replayed = 0;
    open(Arc::new(files.crash(1)), OPTIONS, &mut |_| {
        replayed += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(replayed, count);
}

#[test]
fn the_threads_of_the_log_make_room_for_who_waits() {
    let Opened { log, work, .. } = start(&Saboteur::new());
    let runner = Runner::new();
    work.into_iter().for_each(|work| runner.spawn(work));
    for _ in 0..200 {
        let mut room = room(&log, 10);
        let positions = loop {
            match append(&log, &room, 10).unwrap() {
                Some(positions) => break positions,
                None => runner.block_on(&mut room).unwrap(),
            }
        };
        drop(room);
        let last = positions.last().unwrap();
        runner.block_on(log.durable(last.sequence)).unwrap();
        log.release_before(last.segment).unwrap();
    }
    log.close();
    runner.join();
}

#[test]
fn a_batch_for_which_there_is_no_disk_space_is_refused_whole_and_one_that_never_fits_as_too_large() {
    let Opened { log, .. } = start(&Saboteur::new());
    settle(&log);
    let mut taken = 0;
    let refused = loop {
        let mut room = room(&log, 5);
        match append(&log, &room, 5) {
            Ok(Some(_)) => taken += 5,
            Ok(None) => match poll(&mut room) {
                Poll::Ready(Err(error)) => break error,
                Poll::Ready(Ok(())) | Poll::Pending => {}
            },
            Err(error) => break error,
        }
        settle(&log);
    };
    assert_eq!(refused.kind(), Kind::Full);
    assert!(taken >= 10 && log.stats().records == 1 + taken, "{taken}");
    let kind = |count: usize, length: usize| {
        log.room(Class::New, std::iter::repeat_n(length, count)).err().map(|error| error.kind())
    };
    assert_eq!(kind(1, OPTIONS.body_bytes_max()), None);
    assert_eq!(kind(1, OPTIONS.body_bytes_max() + 1), Some(Kind::TooLarge));
    assert_eq!(kind(21, BODY.len()), None);
    assert_eq!(
        kind(22, BODY.len()),
        Some(Kind::TooLarge),
        "two segments are left to others, and one is in use"
    );
    assert_eq!(kind(1000, 8), Some(Kind::TooLarge), "more than may wait to be written");
}

#[test]
fn a_refusal_after_waiting_says_that_the_log_is_full() {
    let files = Saboteur::new();
    let Opened { log, .. } = start(&files);
    settle(&log);
    files.limit_bytes(Some(0));
    let mut room = room(&log, 1);
    while append(&log, &room, 1).unwrap().is_some() {}
    assert!(poll(&mut room).is_pending() && !log.stats().full, "it may be that there is more");
    settle(&log);
    assert!(matches!(poll(&mut room), Poll::Ready(Err(error)) if error.kind() == Kind::Full));
    assert!(log.stats().full);
}

#[test]
fn whoever_waits_is_not_overtaken_by_smaller_batches_of_the_same_class() {
    let Opened { log, .. } = start(&Saboteur::new());
    settle(&log);
    let (mut large, mut small) = (room(&log, 10), room(&log, 1));
    assert!(append(&log, &large, 10).unwrap().is_none());
    assert!(append(&log, &small, 1).unwrap().is_some(), "nobody waits yet");
    assert!(poll(&mut large).is_pending());
    assert!(append(&log, &small, 1).unwrap().is_none());
    assert!(poll(&mut small).is_pending());
    assert!(log.append(Class::Free, 1, &[&BODY]).is_ok(), "another class");
    settle(&log);
    assert!(append(&log, &large, 10).unwrap().is_some());
    assert!(poll(&mut small).is_pending());
    drop(large);
    settle(&log);
    assert!(append(&log, &small, 1).unwrap().is_some());
}

#[test]
fn who_waits_is_told_when_the_log_closes() {
    let Opened { log, work, .. } = start(&Saboteur::new());
    let (mut first, mut second) = (room(&log, 15), room(&log, 1));
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    let runner = Runner::new();
    log.close();
    work.into_iter().for_each(|work| runner.spawn(work));
    for mut room in [first, second] {
        assert_eq!(runner.block_on(&mut room).unwrap_err().kind(), Kind::Closed);
    }
    runner.join();
}

#[test]
fn the_line_of_those_who_wait_has_an_end() {
    let Opened { log, .. } = start(&Saboteur::new());
    let mut waiting: Vec<_> = (0..limits::log::WAITERS_MAX).map(|_| room(&log, 15)).collect();
    // From the first on, so that none has to look through all those before it.
    assert!(waiting.iter_mut().all(|room| poll(room).is_pending()));
    match poll(&mut room(&log, 1)) {
        Poll::Ready(Err(error)) => assert_eq!(error.kind(), Kind::Full),
        other => panic!("{other:?}"),
    }
    waiting.clear();
    assert!(matches!(poll(&mut room(&log, 1)), Poll::Ready(Ok(()))));
}
