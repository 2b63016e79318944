//! The log on a real directory with real threads.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::thread;

use forebay_core::error::Kind;
use forebay_core::ports::clock::{Run, Work};
use forebay_log::{Class, Disk, LogOptions, Opened, Recovered, open};

const OPTIONS: LogOptions = LogOptions {
    segment_bytes: 64 * 1024,
    pending_bytes_max: 1024 * 1024,
    disk_bytes_max: 64 * 1024 * 1024,
    damaged: forebay_log::Damaged::Refuse,
};

fn run(work: Vec<Work>) -> Vec<thread::JoinHandle<()>> {
    work.into_iter()
        .map(|work| match work.run {
            Run::Thread(run) => thread::Builder::new().name(work.name.into()).spawn(run).unwrap(),
            Run::Task(_) => panic!("{} is not a thread", work.name),
        })
        .collect()
}

fn start(path: &std::path::Path) -> (forebay_log::Log, Vec<thread::JoinHandle<()>>, Recovered, Vec<Vec<u8>>) {
    let mut bodies = Vec::new();
    let files = Arc::new(Disk::open(path).unwrap());
    let Opened { log, work, recovered } = open(files, OPTIONS, &mut |record| {
        bodies.push(record.body.to_vec());
        Ok(())
    })
    .unwrap();
    (log, run(work), recovered, bodies)
}

#[test]
fn what_many_threads_confirmed_is_there_after_a_restart_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let (log, threads, _, _) = start(directory.path());
    let appenders: Vec<_> = (0..4_u64)
        .map(|appender| {
            let log = log.clone();
            thread::spawn(move || {
                for number in 0..500_u64 {
                    let body = vec![appender as u8; 100 + (number % 1_000) as usize];
                    let parts = [&number.to_le_bytes(), &appender.to_le_bytes()[..], &body];
                    // On a slow disk the next segment may not be ready yet: back-pressure, as any caller meets it.
                    let position = loop {
                        match log.append(Class::New, 1, &parts) {
                            Ok(position) => break position,
                            Err(error) => assert_eq!(error.kind(), Kind::Full),
                        }
                        thread::yield_now();
                    };
                    log.wait_durable(position.sequence).unwrap();
                    assert_eq!(log.read(position).unwrap(), parts.concat());
                }
            })
        })
        .collect();
    appenders.into_iter().for_each(|appender| appender.join().unwrap());
    assert!(*log.segments().end() > 5, "the log rolled");
    log.close();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(log.append(Class::New, 1, &[b"late"]).unwrap_err().kind(), Kind::Closed);
    drop(log);

    let (log, threads, recovered, bodies) = start(directory.path());
    assert!(recovered.clean);
    assert_eq!(recovered.records, 2_000);
    let mut next = [0_u64; 4];
    for body in bodies {
        let appender = u64::from_le_bytes(body[8..16].try_into().unwrap()) as usize;
        assert_eq!(u64::from_le_bytes(body[0..8].try_into().unwrap()), next[appender]);
        next[appender] += 1;
    }
    assert_eq!(next, [500; 4]);
    drop(log);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
