//! Damage is found, named and refused, or set aside where that was asked for; damaged bytes are never served.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use forebay_contract::files::{Operation, Saboteur};
use forebay_contract::random::Random;
use forebay_core::error::{Error, Kind};
use forebay_core::ports::files::Files;
use forebay_log::{Class, Damaged, Log, LogOptions, Opened, Position, Recovered, open};

const OPTIONS: LogOptions = LogOptions {
    segment_bytes: 512,
    pending_bytes_max: 4096,
    disk_bytes_max: 64 * 1024,
    damaged: Damaged::Refuse,
};

type Replayed = Vec<(Position, Vec<u8>)>;

fn start(files: &Saboteur, damaged: Damaged) -> Result<(Log, Recovered, Replayed), Error> {
    let mut replayed = Vec::new();
    let options = LogOptions { damaged, ..OPTIONS };
    let Opened { log, recovered, .. } = open(Arc::new(files.clone()), options, &mut |record| {
        replayed.push((record.position, record.body.to_vec()));
        Ok(())
    })?;
    Ok((log, recovered, replayed))
}

/// A body that says which one it is.
fn body(number: usize) -> Vec<u8> {
    vec![number as u8; 20 + number * 7 % 60]
}

/// A log of 24 records in single batches over several segments: killed once on the way, closed in good order.
fn closed() -> (Saboteur, Replayed) {
    let mut files = Saboteur::new();
    let mut written = Vec::new();
    for life in 0..2 {
        files = files.restart();
        let (log, _, _) = start(&files, Damaged::Refuse).unwrap();
        for number in 12 * life..12 * (life + 1) {
            written.push((log.append(Class::New, 1, &[&body(number)]).unwrap(), body(number)));
            while log.step() {}
        }
        if life == 1 {
            log.close();
            while log.step() {}
        }
        assert!(*log.segments().end() > 1 + life as u64);
    }
    (files.restart(), written)
}

/// The same directory for every trial.
fn copy_of(files: &Saboteur) -> Saboteur {
    files.restart().crash(0)
}

fn bytes_of(files: &Saboteur, name: &str) -> Vec<u8> {
    let file = files.open(name).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

/// Every byte of every segment, with one bit of it.
fn flips(files: &Saboteur) -> Vec<(String, u64, u32)> {
    let names = files.list().unwrap();
    let bytes = |name: &String| bytes_of(files, name).len() as u64;
    names.iter().flat_map(|name| (0..bytes(name)).map(|at| (name.clone(), at, (at % 8) as u32))).collect()
}

/// The record that a byte belongs to, padding apart.
fn hit<'a>(written: &'a Replayed, name: &str, at: u64) -> Option<&'a (Position, Vec<u8>)> {
    written.iter().find(|(position, body)| {
        let from = u64::from(position.offset);
        name == format!("{:020}.log", position.segment) && (from..from + 24 + body.len() as u64).contains(&at)
    })
}

#[test]
fn every_flipped_bit_of_a_closed_log_is_refused_by_name_or_harmless() {
    let (files, written) = closed();
    let (mut refused, mut harmless) = (0, 0);
    for (name, at, bit) in flips(&files) {
        let files = copy_of(&files);
        assert!(files.flip_bit(&name, at, bit));
        match start(&files, Damaged::Refuse) {
            Err(error) => {
                refused += 1;
                assert_eq!(error.kind(), Kind::Damaged, "{name} at {at}: {error}");
                assert!(error.to_string().contains(&name), "{name} at {at}: {error}");
                if let Some((position, _)) = hit(&written, &name, at) {
                    let told = format!("at {}: damaged (record {} ", position.offset, position.sequence);
                    assert!(error.to_string().contains(&told), "{name} at {at}: {error}");
                }
            }
            Ok((_, _, replayed)) => {
                harmless += 1;
                assert_eq!(replayed, written, "{name} at {at}");
                assert!(hit(&written, &name, at).is_none(), "{name} at {at} was not noticed");
            }
        }
    }
    assert!(refused > 1_000 && harmless > 500, "{refused} {harmless}");
}

#[test]
fn every_flipped_bit_is_set_aside_where_asked_and_the_rest_is_served() {
    let (files, written) = closed();
    for (name, at, bit) in flips(&files) {
        let files = copy_of(&files);
        files.flip_bit(&name, at, bit);
        let (log, recovered, replayed) = start(&files, Damaged::SetAside).unwrap();
        let lost: Vec<_> = written.iter().filter(|record| !replayed.contains(record)).collect();
        assert!(replayed.iter().all(|record| written.contains(record)), "{name} at {at}");
        assert!(replayed.is_sorted_by_key(|(position, _)| position.sequence), "{name} at {at}");
        if let Some((position, _)) = hit(&written, &name, at) {
            assert_eq!(recovered.set_aside, 1, "{name} at {at}");
            assert_eq!(lost.iter().map(|(lost, _)| lost).collect::<Vec<_>>(), [position], "{name} at {at}");
            let copy = format!("damaged-{}-{}.bin", position.segment, position.offset);
            assert!(files.list().unwrap().contains(&copy), "{copy}");
        } else if at >= 64 {
            assert!(lost.is_empty(), "{name} at {at}");
        }
        // The gap is known from now on: it is no damage any more, and the log goes on.
        let position = log.append(Class::New, 1, &[b"next"]).unwrap();
        while log.step() {}
        let (_, recovered, again) = start(&files.restart(), Damaged::Refuse).unwrap();
        assert_eq!(recovered.set_aside, 0);
        let expected: Vec<_> = replayed.into_iter().chain([(position, b"next".to_vec())]).collect();
        assert_eq!(again, expected, "{name} at {at}");
    }
}

#[test]
fn the_last_record_of_a_life_is_missed_though_the_next_life_begins_a_segment() {
    let files = Saboteur::new();
    let (log, _, _) = start(&files, Damaged::Refuse).unwrap();
    while log.step() {}
    let position = log.append(Class::New, 1, &[&vec![5; OPTIONS.body_bytes_max()]]).unwrap();
    while log.step() {}
    let files = files.restart();
    assert_eq!(start(&files, Damaged::Refuse).unwrap().2.len(), 1);
    let files = files.restart();
    files.flip_bit("00000000000000000002.log", 300, 1);
    let error = start(&files, Damaged::Refuse).err().unwrap();
    let told = format!("00000000000000000002.log at 64: damaged (record {} ", position.sequence);
    assert!(error.to_string().contains(&told), "{error}");
}

#[test]
fn damage_is_copied_before_it_is_covered_whatever_happens_in_between() {
    let (files, written) = closed();
    let (position, _) = written[7];
    let name = format!("{:020}.log", position.segment);
    let copy = format!("damaged-{}-{}.bin", position.segment, position.offset);
    let (mut cut, mut covered) = (0, 0);
    for seed in 0..400 {
        let files = copy_of(&files);
        files.flip_bit(&name, u64::from(position.offset) + 30, 2);
        let damaged = bytes_of(&files, &name)[position.offset as usize..][..32].to_vec();
        files.power_off_after(seed % 20);
        cut += u32::from(start(&files, Damaged::SetAside).is_err());
        let files = files.crash(seed);
        if start(&files, Damaged::Refuse).is_ok() {
            covered += 1;
            assert_eq!(bytes_of(&files, &copy)[..32], damaged, "seed {seed}");
        } else {
            assert_eq!(start(&files.restart(), Damaged::SetAside).unwrap().2.len(), written.len() - 1);
        }
    }
    assert!(cut > 50 && covered > 50, "{cut} {covered}");
}

#[test]
fn a_hole_too_large_to_be_a_loss_is_refused_even_where_damage_is_set_aside() {
    let (files, _) = closed();
    let last = files.list().unwrap().pop().unwrap();
    let mut header = bytes_of(&files, &last)[..64].to_vec();
    header[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    seal(&mut header);
    files.open(&last).unwrap().write_at(&header, 0).unwrap();
    files.rename(&last, &format!("{}.log", u64::MAX)).unwrap();
    let error = start(&files, Damaged::SetAside).err().unwrap();
    assert_eq!(error.kind(), Kind::Damaged);
    assert!(error.to_string().contains("too many are missing"), "{error}");
}

#[test]
fn damage_under_a_running_log_is_not_served() {
    let files = Saboteur::new();
    let (log, _, _) = start(&files, Damaged::Refuse).unwrap();
    let position = log.append(Class::New, 1, &[b"precious"]).unwrap();
    while log.step() {}
    assert_eq!(log.read(position).unwrap(), b"precious");
    for at in 0..24 + 8 {
        files.flip_bit("00000000000000000001.log", u64::from(position.offset) + at, 3);
        assert_eq!(log.read(position).unwrap_err().kind(), Kind::Damaged, "byte {at}");
        files.flip_bit("00000000000000000001.log", u64::from(position.offset) + at, 3);
    }
    let elsewhere = Position { offset: position.offset + 8, ..position };
    assert_eq!(log.read(elsewhere).unwrap_err().kind(), Kind::Damaged);
    let another = Position { sequence: position.sequence + 1, ..position };
    assert_eq!(log.read(another).unwrap_err().kind(), Kind::Damaged);
}

#[test]
fn a_missing_segment_is_refused_and_can_be_gone_on_without() {
    let (files, written) = closed();
    let last = written.last().unwrap().0.segment;
    for missing in 2..=last {
        let files = copy_of(&files);
        files.remove(&format!("{missing:020}.log")).unwrap();
        assert_eq!(start(&files, Damaged::Refuse).err().unwrap().kind(), Kind::Damaged, "{missing}");
        let (log, recovered, replayed) = start(&files, Damaged::SetAside).unwrap();
        assert_eq!(recovered.set_aside, 1);
        let rest: Vec<_> =
            written.iter().filter(|(position, _)| position.segment != missing).cloned().collect();
        assert_eq!(replayed, rest);
        let next = log.append(Class::New, 1, &[b"next"]).unwrap();
        assert!(next.sequence > written.last().unwrap().0.sequence);
        while log.step() {}
        assert_eq!(start(&files.restart(), Damaged::Refuse).unwrap().2.len(), rest.len() + 1);
    }
}

#[test]
fn a_segment_cut_short_is_refused_and_its_rest_can_be_kept() {
    let (files, written) = closed();
    let (position, _) = written[5];
    let name = format!("{:020}.log", position.segment);
    for bytes in [0, 63, 64, u64::from(position.offset) + 10, 511] {
        let files = copy_of(&files);
        assert!(files.truncate(&name, bytes));
        let error = start(&files, Damaged::Refuse).err().unwrap();
        assert!(error.kind() == Kind::Damaged && error.to_string().contains(&name), "{error}");
        let (_, recovered, replayed) = start(&files, Damaged::SetAside).unwrap();
        assert!(recovered.set_aside > 0);
        let kept = |position: &Position| {
            position.segment != 1 && position.segment != 2 || u64::from(position.offset) + 200 < bytes
        };
        assert!(
            written.iter().filter(|(position, _)| kept(position)).all(|record| replayed.contains(record))
        );
        assert_eq!(start(&files.restart(), Damaged::Refuse).unwrap().2, replayed);
    }
}

/// Puts the right checksum into a segment header.
fn seal(header: &mut [u8]) {
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&header[..12]), &header[16..]);
    header[12..16].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn a_log_of_a_newer_format_is_refused_as_such() {
    let (files, _) = closed();
    let name = "00000000000000000002.log";
    let mut header = bytes_of(&files, name)[..64].to_vec();
    header[8..12].copy_from_slice(&2_u32.to_le_bytes());
    seal(&mut header);
    files.open(name).unwrap().write_at(&header, 0).unwrap();
    for damaged in [Damaged::Refuse, Damaged::SetAside] {
        let error = start(&files, damaged).err().unwrap();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.to_string().contains("format 2"), "{error}");
    }
}

#[test]
fn what_a_torn_batch_left_behind_the_cut_is_erased() {
    let files = Saboteur::new();
    let (log, _, _) = start(&files, Damaged::Refuse).unwrap();
    let kept = log.append(Class::New, 1, &[b"kept"]).unwrap();
    while log.step() {}
    let torn: Vec<_> = (0..4).map(|number| log.append(Class::New, 1, &[&body(number)]).unwrap()).collect();
    files.fail(Operation::Sync, 1, Kind::Io);
    while log.step() {}
    // The first of the batch did not reach the disk, the others did.
    let files = files.restart();
    files.flip_bit("00000000000000000001.log", u64::from(torn[0].offset) + 20, 0);
    let (log, recovered, replayed) = start(&files, Damaged::Refuse).unwrap();
    assert_eq!(replayed, [(kept, b"kept".to_vec())]);
    assert!(recovered.torn_bytes > 80 && !recovered.clean, "{recovered:?}");
    // What the log writes first in its new life is shorter than what it cut.
    let behind = torn[1].offset as usize + 8;
    assert!(bytes_of(&files, "00000000000000000001.log")[behind..].iter().all(|byte| *byte == 0));
    let position = log.append(Class::New, 1, &[b"new"]).unwrap();
    assert!(position.sequence > torn[3].sequence);
}

#[test]
fn random_damage_never_panics_and_never_makes_records_up() {
    for seed in 0..1_500 {
        let mut random = Random::new(seed);
        let (files, written) = {
            let (files, written) = closed();
            (files, written.into_iter().map(|(_, body)| body).collect::<Vec<_>>())
        };
        let names = files.list().unwrap();
        for _ in 0..1 + random.below(12) {
            let name = &names[random.below(names.len() as u64) as usize];
            match random.below(8) {
                0 => drop(files.remove(name)),
                1 => drop(files.truncate(name, random.below(600))),
                _ => {
                    // A run of rubbish.
                    let at = random.below(512);
                    (at..at + random.below(80)).for_each(|at| {
                        files.flip_bit(name, at, random.below(8) as u32);
                    });
                }
            }
        }
        if let Err(error) = start(&files, Damaged::Refuse) {
            assert_eq!(error.kind(), Kind::Damaged, "seed {seed}: {error}");
        }
        match start(&files.restart(), Damaged::SetAside) {
            Ok((_, _, replayed)) => {
                let mut rest = written.iter();
                for (_, body) in &replayed {
                    assert!(rest.any(|written| written == body), "seed {seed}: made up or out of order");
                }
                let again = start(&files.restart(), Damaged::Refuse);
                let again = again.unwrap_or_else(|error| panic!("seed {seed}: not mended: {error}"));
                assert_eq!(again.2, replayed, "seed {seed}");
            }
            Err(error) => assert_eq!(error.kind(), Kind::Damaged, "seed {seed}: {error}"),
        }
    }
}
