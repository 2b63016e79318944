//! Durable appends of 256-byte records: the commit log beside fjall, SQLite and bare `fdatasync`.
//!
//! `cargo run --release --bin durable_append [DIRECTORY]` prints a Markdown table. "In flight" is how many records wait
//! for durability at once. The log is driven by one thread that keeps so many outstanding, and its own writer decides
//! what shares a sync; the others get the best case, batches of exactly that size with one sync each. Engines take
//! turns; every figure is the median of the rounds, with the least and the greatest beside it. CPU is user and system
//! time of the whole process per record. One plot for each number in flight goes into `report/`.

use std::collections::VecDeque;
use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use forebay_benches::plot::{Bar, bars};
use forebay_core::ports::clock::Run;
use forebay_log::{Class, Disk, Log, LogOptions, Opened};
use rusqlite::Connection;
use rustix::time::{ClockId, clock_gettime};

type Fallible<T> = Result<T, Box<dyn Error>>;

const RECORD_BYTES: usize = 256;
const ROUNDS: usize = 7;
const WARM_UP: Duration = Duration::from_millis(200);
const ROUND: Duration = Duration::from_millis(700);
const IN_FLIGHT: [usize; 3] = [1, 16, 256];

/// Something that makes records durable.
trait Engine {
    /// Appends and confirms for about `time` with so many in flight, and returns how many were confirmed.
    fn run(&mut self, in_flight: usize, time: Duration) -> Fallible<u64>;
}

struct Forebay {
    log: Log,
    threads: Vec<JoinHandle<()>>,
}

impl Forebay {
    fn open(path: &Path) -> Fallible<Self> {
        let Opened { log, work, .. } =
            forebay_log::open(Arc::new(Disk::open(path)?), LogOptions::default(), &mut |_| Ok(()))?;
        let mut threads = Vec::new();
        for work in work {
            if let Run::Thread(run) = work.run {
                threads.push(thread::Builder::new().name(work.name.into()).spawn(run)?);
            }
        }
        Ok(Self { log, threads })
    }
}

impl Engine for Forebay {
    fn run(&mut self, in_flight: usize, time: Duration) -> Fallible<u64> {
        let body = [7; RECORD_BYTES];
        let mut waiting = VecDeque::with_capacity(in_flight);
        let mut confirmed = 0;
        let began = Instant::now();
        while began.elapsed() < time {
            while waiting.len() < in_flight {
                match self.log.append(Class::New, 1, &[&body]) {
                    Ok(position) => waiting.push_back(position.sequence),
                    // Back-pressure: go on with what is in flight.
                    Err(_) if !waiting.is_empty() => break,
                    Err(_) => thread::yield_now(),
                }
            }
            if let Some(oldest) = waiting.front() {
                self.log.wait_durable(*oldest)?;
            }
            let durable = self.log.durable_sequence();
            while waiting.front().is_some_and(|sequence| *sequence <= durable) {
                waiting.pop_front();
                confirmed += 1;
            }
            // What was consumed is released: the steady state of a queue.
            let (first, last) = self.log.segments().into_inner();
            if last - first > 4 {
                self.log.release_before(last - 3)?;
            }
        }
        if let Some(newest) = waiting.back() {
            self.log.wait_durable(*newest)?;
        }
        Ok(confirmed + waiting.len() as u64)
    }
}

impl Drop for Forebay {
    fn drop(&mut self) {
        self.log.close();
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

struct Fjall {
    database: Database,
    records: Keyspace,
    next: u64,
}

impl Fjall {
    fn open(path: &Path) -> Fallible<Self> {
        let database = Database::builder(path).open()?;
        let records = database.keyspace("records", KeyspaceCreateOptions::default)?;
        Ok(Self { database, records, next: 0 })
    }
}

impl Engine for Fjall {
    fn run(&mut self, in_flight: usize, time: Duration) -> Fallible<u64> {
        let body = [7; RECORD_BYTES];
        let first = self.next;
        let began = Instant::now();
        while began.elapsed() < time {
            let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
            for _ in 0..in_flight {
                batch.insert(&self.records, self.next.to_be_bytes(), body);
                self.next += 1;
            }
            batch.commit()?;
        }
        Ok(self.next - first)
    }
}

struct Sqlite(Connection);

impl Sqlite {
    fn open(path: &Path) -> Fallible<Self> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute("CREATE TABLE records (id INTEGER PRIMARY KEY, body BLOB NOT NULL)", [])?;
        Ok(Self(connection))
    }
}

impl Engine for Sqlite {
    fn run(&mut self, in_flight: usize, time: Duration) -> Fallible<u64> {
        let body = [7; RECORD_BYTES];
        let mut confirmed = 0;
        let began = Instant::now();
        while began.elapsed() < time {
            let transaction = self.0.transaction()?;
            let mut insert = transaction.prepare_cached("INSERT INTO records (body) VALUES (?1)")?;
            for _ in 0..in_flight {
                insert.execute([&body[..]])?;
            }
            drop(insert);
            transaction.commit()?;
            confirmed += in_flight as u64;
        }
        Ok(confirmed)
    }
}

/// One write and one sync per batch over a file that was filled with zeros before: the ceiling.
struct Bare {
    file: File,
    offset: u64,
}

impl Bare {
    const BYTES: u64 = 64 * 1024 * 1024;

    fn open(path: &Path) -> Fallible<Self> {
        let file = File::create_new(path)?;
        let zeros = vec![0; 1024 * 1024];
        for offset in (0..Self::BYTES).step_by(zeros.len()) {
            file.write_all_at(&zeros, offset)?;
        }
        file.sync_all()?;
        Ok(Self { file, offset: 0 })
    }
}

impl Engine for Bare {
    fn run(&mut self, in_flight: usize, time: Duration) -> Fallible<u64> {
        let bytes = vec![7; in_flight * RECORD_BYTES];
        let mut confirmed = 0;
        let began = Instant::now();
        while began.elapsed() < time {
            if self.offset + bytes.len() as u64 > Self::BYTES {
                self.offset = 0;
            }
            self.file.write_all_at(&bytes, self.offset)?;
            self.file.sync_data()?;
            self.offset += bytes.len() as u64;
            confirmed += in_flight as u64;
        }
        Ok(confirmed)
    }
}

/// User and system time of this process.
fn cpu() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec.unsigned_abs(), used.tv_nsec.unsigned_abs() as u32)
}

/// The figures of one engine at one number in flight.
#[derive(Clone, Default)]
struct Figures {
    per_second: Vec<f64>,
    cpu_us: Vec<f64>,
}

/// The middle, least and greatest of some figures.
fn spread(figures: &[f64]) -> (f64, f64, f64) {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    (at(sorted.len() / 2), at(0), at(sorted.len().saturating_sub(1)))
}

/// An engine's name and how it is opened.
type Named = (&'static str, fn(&Path) -> Fallible<Box<dyn Engine>>);

const ENGINES: [Named; 4] = [
    ("forebay log", |path| Ok(Box::new(Forebay::open(path)?))),
    ("fjall 3.1, SyncData per batch", |path| Ok(Box::new(Fjall::open(path)?))),
    ("SQLite WAL, synchronous=FULL", |path| Ok(Box::new(Sqlite::open(path)?))),
    ("bare pwrite + fdatasync", |path| Ok(Box::new(Bare::open(path)?))),
];

/// One round of one engine in a directory of its own, so that nothing it does later disturbs the others.
fn round(open: Named, directory: Option<&str>, in_flight: usize, figures: &mut Figures) -> Fallible<()> {
    let scratch = match directory {
        Some(directory) => tempfile::tempdir_in(directory)?,
        None => tempfile::tempdir()?,
    };
    let mut engine = open.1(&scratch.path().join("data"))?;
    engine.run(in_flight, WARM_UP)?;
    let (began, used) = (Instant::now(), cpu());
    let confirmed = engine.run(in_flight, ROUND)? as f64;
    figures.per_second.push(confirmed / began.elapsed().as_secs_f64());
    figures.cpu_us.push((cpu() - used).as_secs_f64() * 1e6 / confirmed);
    Ok(())
}

fn main() -> Fallible<()> {
    let directory = std::env::args().nth(1);
    println!("| in flight | engine | records/s | least..greatest | CPU µs/record | of bare |");
    println!("| ---: | --- | ---: | --- | ---: | ---: |");
    for in_flight in IN_FLIGHT {
        let mut figures = vec![Figures::default(); ENGINES.len()];
        for _ in 0..ROUNDS {
            for (engine, figures) in ENGINES.into_iter().zip(&mut figures) {
                round(engine, directory.as_deref(), in_flight, figures)?;
            }
        }
        let mut plotted = Vec::new();
        let bare = figures.last().map_or(f64::NAN, |figures| spread(&figures.per_second).0);
        for ((name, _), figures) in ENGINES.into_iter().zip(&figures) {
            let (middle, least, greatest) = spread(&figures.per_second);
            let (cpu_us, ..) = spread(&figures.cpu_us);
            let share = middle / bare;
            plotted.push(Bar { name: name.into(), value: middle, range: Some((least, greatest)) });
            println!(
                "| {in_flight} | {name} | {middle:.0} | {least:.0}..{greatest:.0} | {cpu_us:.2} | {share:.2} |"
            );
        }
        let title = format!("Durable appends of {RECORD_BYTES} bytes, {in_flight} in flight");
        let path = format!("report/durable-append-{in_flight}.svg");
        bars(Path::new(&path), &title, "records a second", &plotted)?;
    }
    Ok(())
}
