//! What the disk can do by itself, and how often it was flushed.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};
use std::{io, thread};

use rustix::fs::{major, minor};

/// Synced writes, and round trips, of one look at the machine.
const SAMPLES: usize = 2_000;
/// Synced appends of [`APPEND_BYTES`] of one look.
const APPENDS: usize = 128;
const APPEND_BYTES: usize = 1 << 20;
/// What is written over, again and again, before it is synced.
const WRITE_BYTES: usize = 1 << 10;
const WRITTEN_BYTES: usize = 8 << 20;
/// Where a disk is slow, it has to do with fewer samples.
const LOOK_MAX: Duration = Duration::from_secs(3);

/// The device that a folder is on.
pub struct Device {
    numbers: (u32, u32),
}

/// How often a device has been flushed since it is there, by anyone, and how long that took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flushes {
    pub count: u64,
    pub time_ms: u64,
}

impl Device {
    /// The one of the folder.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let device = fs::metadata(folder)?.dev();
        Ok(Self { numbers: (major(device), minor(device)) })
    }

    /// What the kernel counted until now; nothing where it does not count (before Linux 5.5, or where the folder's file
    /// system has no device of its own).
    pub fn flushes(&self) -> Option<Flushes> {
        let all = fs::read_to_string("/proc/diskstats").ok()?;
        all.lines().find_map(|line| flushes(line, self.numbers))
    }

    /// Its name, and what the kernel knows about its cache: a write with FUA is durable without a flush.
    pub fn named(&self) -> String {
        let (major, minor) = self.numbers;
        let folder = format!("/sys/dev/block/{major}:{minor}");
        let name = fs::read_link(&folder).ok();
        let Some(name) = name.as_deref().and_then(Path::file_name) else {
            return format!("device {major}:{minor}, which has no flush count");
        };
        // A partition has the settings of the whole device.
        let setting = |setting: &str| {
            let of = |queue: &str| fs::read_to_string(format!("{folder}/{queue}/{setting}")).ok();
            of("queue").or_else(|| of("../queue")).map_or("unknown".into(), |text| text.trim().to_owned())
        };
        format!("device {}, cache: {}, FUA: {}", name.display(), setting("write_cache"), setting("fua"))
    }
}

fn flushes(line: &str, numbers: (u32, u32)) -> Option<Flushes> {
    let mut fields = line.split_ascii_whitespace();
    let mut number = || fields.next()?.parse().ok();
    let is_it = (number()?, number()?) == (u64::from(numbers.0), u64::from(numbers.1));
    let mut counts = line.split_ascii_whitespace().skip(18).map(str::parse);
    let (count, time_ms) = (counts.next()?.ok()?, counts.next()?.ok()?);
    is_it.then_some(Flushes { count, time_ms })
}

/// What disk and loopback take by themselves, in microseconds.
#[derive(Debug, Default)]
pub struct Bare {
    /// A write of 1 KiB over what has already been written, and `fdatasync`: no less can be had, since the file system has
    /// nothing to note.
    pub sync_us: Vec<f64>,
    /// An append of 1 MiB to a file that grows, and `fdatasync`.
    pub append_us: Vec<f64>,
    /// One octet there and back over loopback TCP.
    pub round_trip_us: Vec<f64>,
}

impl Bare {
    /// Takes another look, and keeps it beside the earlier ones.
    pub fn look(&mut self, folder: &Path) -> io::Result<()> {
        let append = vec![7; APPEND_BYTES];
        let mut file = tempfile::tempfile_in(folder)?;
        timed(APPENDS, &mut self.append_us, |_| {
            file.write_all(&append)?;
            file.sync_data()
        })?;
        let file = tempfile::tempfile_in(folder)?;
        file.write_all_at(&vec![0; WRITTEN_BYTES], 0)?;
        file.sync_all()?;
        timed(SAMPLES, &mut self.sync_us, |index| {
            file.write_all_at(&[7; WRITE_BYTES], (index * WRITE_BYTES % WRITTEN_BYTES) as u64)?;
            file.sync_data()
        })?;
        self.round_trips()
    }

    /// Megabytes a second of the synced appends.
    pub fn append_megabytes(&self) -> f64 {
        APPEND_BYTES as f64 / quantile(&self.append_us, 0.5)
    }

    fn round_trips(&mut self) -> io::Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let mut stream = TcpStream::connect(listener.local_addr()?)?;
        stream.set_nodelay(true)?;
        let (mut other, _) = listener.accept()?;
        other.set_nodelay(true)?;
        let echo = thread::spawn(move || -> io::Result<()> {
            let mut octet = [0];
            while other.read(&mut octet)? > 0 {
                other.write_all(&octet)?;
            }
            Ok(())
        });
        let mut octet = [0];
        timed(SAMPLES, &mut self.round_trip_us, |_| {
            stream.write_all(&octet)?;
            stream.read_exact(&mut octet)
        })?;
        drop(stream);
        echo.join().unwrap_or_else(|_| Err(io::Error::other("the echo panicked")))
    }
}

/// Does that so often, and adds how long each took.
fn timed(
    count: usize,
    times_us: &mut Vec<f64>,
    mut work: impl FnMut(usize) -> io::Result<()>,
) -> io::Result<()> {
    let look = Instant::now();
    for index in 0..count {
        let begun = Instant::now();
        work(index)?;
        times_us.push(begun.elapsed().as_secs_f64() * 1e6);
        if look.elapsed() > LOOK_MAX {
            break;
        }
    }
    Ok(())
}

/// The value that such a part of them does not exceed; not a number when there are none.
pub fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() as f64 * part) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::{flushes, quantile};

    #[test]
    fn flushes_are_the_last_two_fields_of_the_devices_line() {
        let line = " 254 0 vda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17";
        let read = flushes(line, (254, 0)).expect("a line with flushes");
        assert_eq!((read.count, read.time_ms), (16, 17));
        assert!(flushes(line, (254, 1)).is_none());
        assert!(flushes("254 0 vda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15", (254, 0)).is_none());
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 1.0), 3.0);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
