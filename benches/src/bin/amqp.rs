//! The AMQP front beside RabbitMQ's classic and quorum queues: rates, latency, the server's processor time for a message.
//!
//! `cargo run --release --bin amqp [DIRECTORY [ROUNDS [SECONDS]]]`, after a release build of the daemon. Messages of 1 KiB. (a)
//! transient, consumed at the same time without acknowledgements; (b) persistent, one unconfirmed at a time; (c) persistent,
//! 256 and 1,000 unconfirmed, then consumed with as many unacknowledged, acknowledged by the half; (d) eight publishers of 256 and four
//! consumers at the same time. Servers take turns; every figure is the median of the rounds, with the least and the
//! greatest beside it. Markdown on stdout, a plot into `report/amqp.svg`. What the disk can do is measured first: a synced write of
//! one octet, and synced appends of 1 MiB.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use forebay_benches::amqp::{Client, Declared, Fallible};
use forebay_benches::load::latencies;
use forebay_benches::plot::{Bar, bars};
use forebay_benches::rabbitmq;
use forebay_benches::server::{Address, Server};

const BODY: [u8; 1024] = [b'x'; 1024];
const ROUNDS: usize = 5;
const SECONDS: u64 = 4;
const PUBLISHERS: usize = 8;
const CONSUMERS: usize = 4;
const TRANSIENT: Declared = Declared { name: "transient", durable: false, kind: "classic" };
const FOREBAY: &str = "../target/release/forebay";

/// One way of running one server.
struct Peer {
    name: &'static str,
    declared: Declared,
    server: Arc<Server>,
}

/// What was measured again and again.
#[derive(Default)]
struct Series(Vec<f64>);

impl Series {
    fn sorted(&self) -> Vec<f64> {
        let mut all = self.0.clone();
        all.sort_by(f64::total_cmp);
        all
    }

    fn median(&self) -> f64 {
        self.sorted().get(self.0.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn range(&self) -> (f64, f64) {
        let sorted = self.sorted();
        (sorted.first().copied().unwrap_or(f64::NAN), sorted.last().copied().unwrap_or(f64::NAN))
    }
}

/// One line of the report.
#[derive(Default)]
struct Row {
    work: String,
    peer: &'static str,
    rate: Series,
    processor_us: Series,
    p99_us: Series,
}

struct Rows(Vec<Row>);

impl Rows {
    fn add(&mut self, work: &str, peer: &'static str, taken: Taken) {
        let place = self.0.iter().position(|row| row.work == work && row.peer == peer);
        let place = place.unwrap_or_else(|| {
            self.0.push(Row { work: work.into(), peer, ..Row::default() });
            self.0.len() - 1
        });
        let row = &mut self.0[place];
        eprintln!("{work}, {peer}: {} messages in {:.1?}", taken.messages, taken.time);
        row.rate.0.push(taken.messages as f64 / taken.time.as_secs_f64());
        row.processor_us.0.push(taken.processor_ns as f64 / 1_000.0 / taken.messages as f64);
        row.p99_us.0.extend(taken.p99_us);
    }
}

/// What one measurement gave.
struct Taken {
    messages: u64,
    time: Duration,
    processor_ns: u64,
    p99_us: Option<f64>,
}

/// Measures what `work` does; it returns how many messages it did that to, and the latency if there is one.
fn taken(server: &Server, work: impl FnOnce() -> Fallible<(u64, Option<f64>)>) -> Fallible<Taken> {
    let (begun, before) = (Instant::now(), server.processor_ns());
    let (messages, p99_us) = work()?;
    Ok(Taken { messages, time: begun.elapsed(), processor_ns: server.processor_ns() - before, p99_us })
}

fn address(server: &Server) -> SocketAddr {
    match &server.address {
        Address::Tcp(address) => *address,
        Address::Unix(_) => unreachable!("AMQP is spoken over TCP"),
    }
}

fn main() -> Fallible<()> {
    let mut arguments = std::env::args().skip(1);
    let within = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let rounds = arguments.next().map_or(Ok(ROUNDS), |rounds| rounds.parse())?;
    let time = Duration::from_secs(arguments.next().map_or(Ok(SECONDS), |seconds| seconds.parse())?);
    let folders = [tempfile::tempdir_in(&within)?, tempfile::tempdir_in(&within)?];
    let (sync_us, appended) = disk(&within)?;
    println!("A synced write takes {sync_us:.0} µs; synced appends of 1 MiB reach {appended:.0} MB/s.\n");
    let rabbitmq = Arc::new(rabbitmq::start(folders[0].path()));
    let peers = [
        Peer {
            name: "Forebay",
            declared: Declared { name: "durable", durable: true, kind: "classic" },
            server: Arc::new(forebay(folders[1].path())),
        },
        Peer {
            name: "RabbitMQ, classic",
            declared: Declared { name: "classic", durable: true, kind: "classic" },
            server: Arc::clone(&rabbitmq),
        },
        Peer {
            name: "RabbitMQ, quorum",
            declared: Declared { name: "quorum", durable: true, kind: "quorum" },
            server: rabbitmq,
        },
    ];
    let mut rows = Rows(Vec::new());
    for _ in 0..rounds {
        for peer in &peers {
            round(peer, time, &mut rows)?;
        }
    }
    report(&rows.0)
}

fn round(peer: &Peer, time: Duration, rows: &mut Rows) -> Fallible<()> {
    let Peer { name, declared, server } = peer;
    let at = address(server);
    Client::connect(at)?.declare(*declared)?;
    if declared.kind == "classic" {
        rows.add("(a) transient, no ack", name, taken(server, || transient(at, time))?);
    }
    rows.add("(b) confirm, window 1", name, taken(server, || publish(at, *declared, 1, time))?);
    drain(at, *declared)?;
    for window in [256, 1_000] {
        let published = taken(server, || publish(at, *declared, window, time))?;
        let messages = published.messages;
        rows.add(&format!("(c) publish, window {window}"), name, published);
        let consumed = taken(server, || Ok((consume(at, *declared, window as u16, messages)?, None)))?;
        rows.add(&format!("(c) consume, window {window}"), name, consumed);
        drain(at, *declared)?;
    }
    let all = taken(server, || many(at, *declared, time))?;
    rows.add("(d) 8 publishers, 4 consumers", name, all);
    drain(at, *declared)
}

fn transient(at: SocketAddr, time: Duration) -> Fallible<(u64, Option<f64>)> {
    let mut consumer = Client::connect(at)?;
    consumer.declare(TRANSIENT)?;
    let until = Instant::now() + time;
    thread::scope(|scope| {
        let publisher = scope.spawn(move || {
            let mut client = Client::connect(at)?;
            let sent = client.publish_transient(TRANSIENT.name, &BODY, until)?;
            client.close().map(|()| sent)
        });
        let mut taken = 0;
        consumer.consume(TRANSIENT.name, 0, |count| {
            taken += count;
            Instant::now() < until
        })?;
        publisher.join().map_err(|_| "the publisher panicked")??;
        // What was not consumed in time does not stand in the way of the next round.
        Client::connect(at)?.purge(TRANSIENT.name)?;
        Ok((taken, None))
    })
}

fn publish(at: SocketAddr, declared: Declared, window: u64, time: Duration) -> Fallible<(u64, Option<f64>)> {
    let mut latencies = latencies();
    let mut client = Client::connect(at)?;
    let confirmed =
        client.publish_confirmed(declared.name, &BODY, window, Instant::now() + time, &mut latencies)?;
    Ok((confirmed, Some(latencies.value_at_quantile(0.99) as f64 / 1_000.0)))
}

fn consume(at: SocketAddr, declared: Declared, window: u16, messages: u64) -> Fallible<u64> {
    let mut client = Client::connect(at)?;
    let mut left = messages;
    let taken = client.consume(declared.name, window, |count| {
        left = left.saturating_sub(count);
        left > 0
    })?;
    client.close()?;
    Ok(taken)
}

/// Empties the queue, so that every measurement begins with an empty one.
fn drain(at: SocketAddr, declared: Declared) -> Fallible<()> {
    let mut client = Client::connect(at)?;
    client.purge(declared.name)?;
    client.close()
}

/// Publishers and consumers at the same time, until as many are consumed as were published.
fn many(at: SocketAddr, declared: Declared, time: Duration) -> Fallible<(u64, Option<f64>)> {
    let (left, published) = (AtomicI64::new(0), AtomicBool::new(false));
    let until = Instant::now() + time;
    thread::scope(|scope| {
        let consumers: Vec<_> = (0..CONSUMERS)
            .map(|_| {
                let (left, published) = (&left, &published);
                scope.spawn(move || {
                    let mut client = Client::connect(at)?;
                    client.consume(declared.name, 256, |count| {
                        left.fetch_sub(count as i64, Relaxed);
                        !(published.load(Relaxed) && left.load(Relaxed) <= 0)
                    })
                })
            })
            .collect();
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|_| {
                scope.spawn(move || {
                    let mut latencies = latencies();
                    Client::connect(at)?.publish_confirmed(declared.name, &BODY, 256, until, &mut latencies)
                })
            })
            .collect();
        let mut sent = 0;
        for publisher in publishers {
            sent += publisher.join().map_err(|_| "a publisher panicked")??;
        }
        left.fetch_add(sent as i64, Relaxed);
        published.store(true, Relaxed);
        for consumer in consumers {
            consumer.join().map_err(|_| "a consumer panicked")??;
        }
        Ok((sent, None))
    })
}

fn forebay(data: &Path) -> Server {
    let address = Address::free();
    let Address::Tcp(amqp) = &address else { unreachable!("it is one of TCP") };
    let mut command = Command::new(FOREBAY);
    command.arg("serve").arg("--data").arg(data).args(["--amqp", &amqp.to_string(), "--memcached", "off"]);
    command.args(["--http", "off", "--log", "error"]);
    Server::start(&mut command, address)
}

/// Microseconds of a synced write, and megabytes a second of synced appends.
fn disk(folder: &Path) -> Fallible<(f64, f64)> {
    const APPENDS: usize = 256;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    let timed = |file: &mut File, octets: &[u8]| -> Fallible<f64> {
        let mut times = Vec::with_capacity(APPENDS);
        for _ in 0..APPENDS {
            let begun = Instant::now();
            file.write_all(octets)?;
            file.sync_data()?;
            times.push(begun.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        Ok(times[APPENDS / 2])
    };
    let sync = timed(file.as_file_mut(), b"x")?;
    let append = timed(file.as_file_mut(), &vec![7; 1 << 20])?;
    Ok((sync * 1e6, (1 << 20) as f64 / append / 1e6))
}

fn report(rows: &[Row]) -> Fallible<()> {
    println!("| | server | messages/s | least..greatest | MB/s | CPU µs/message | p99 of a confirm, µs |");
    println!("| --- | --- | ---: | --- | ---: | ---: | ---: |");
    let mut sorted: Vec<_> = rows.iter().collect();
    sorted.sort_by(|one, other| one.work.cmp(&other.work));
    let mut plotted = Vec::new();
    for row in sorted {
        let (rate, (least, greatest)) = (row.rate.median(), row.rate.range());
        let p99 = if row.p99_us.0.is_empty() { String::new() } else { format!("{:.0}", row.p99_us.median()) };
        println!(
            "| {} | {} | {rate:.0} | {least:.0}..{greatest:.0} | {:.0} | {:.2} | {p99} |",
            row.work,
            row.peer,
            rate * BODY.len() as f64 / 1e6,
            row.processor_us.median()
        );
        plotted.push(Bar {
            name: format!("{}, {}", row.work, row.peer),
            value: rate / 1_000.0,
            range: Some((least / 1_000.0, greatest / 1_000.0)),
        });
    }
    bars(Path::new("report/amqp.svg"), "AMQP, messages of 1 KiB", "thousand messages a second", &plotted)
        .map_err(|error| error.to_string().into())
}
