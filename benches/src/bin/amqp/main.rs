//! The AMQP front beside RabbitMQ, Redis Streams and NATS JetStream: rates, latency, processor time, flushes of the disk.
//!
//! `cargo run --release --bin amqp [DIRECTORY [ROUNDS [SECONDS]]]`, after a release build of the daemon. Messages of 1 KiB. (a)
//! transient, consumed at the same time without acknowledgements, where there are such; (b) durable, one unconfirmed at
//! a time; (c) durable, 256 and 1,000 unconfirmed, then consumed with as many unacknowledged, acknowledged by the half;
//! (d) eight publishers of 256 and four consumers at the same time; (e) one publisher of 256, paced to half of the rate
//! that it just had in (c). Servers take turns; every figure is the median of the rounds, with the least and the
//! greatest beside it. Markdown on stdout, a plot into `report/amqp.svg`. What disk and loopback can do by themselves is measured
//! before every round: the machine must be quiet. `NATS_SERVER` names a NATS server that is not on the path.

mod ratios;
mod rows;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use forebay_benches::disk::{Bare, Device, quantile};
use forebay_benches::plot::bars;
use forebay_benches::queue_servers::amqp::{Amqp, Client, Declared, TRANSIENT};
use forebay_benches::queue_servers::nats::Nats;
use forebay_benches::queue_servers::peer::{BODY, Fallible, Pace, Peer};
use forebay_benches::queue_servers::redis::Redis;
use forebay_benches::queue_servers::{forebay, rabbitmq};
use forebay_benches::server::Server;

use crate::rows::{Done, Rows, taken};

const ROUNDS: usize = 5;
const SECONDS: u64 = 4;
const PUBLISHERS: usize = 8;
const CONSUMERS: usize = 4;
const WINDOWS: [u64; 2] = [256, 1_000];
const FOREBAY: &str = "Forebay";
const CLASSIC: &str = "RabbitMQ, classic";
const QUORUM: &str = "RabbitMQ, quorum";
const REDIS: &str = "Redis Streams";
const NATS: &str = "NATS JetStream";
const ONE: &str = "(b) confirm, window 1";
const HALF_LOAD: &str = "(e) publish, window 256, half load";

/// One way of running one server.
struct Contender {
    name: &'static str,
    peer: Box<dyn Peer>,
    /// Where it takes transient messages.
    transient: Option<SocketAddr>,
}

fn published(window: u64) -> String {
    format!("(c) publish, window {window}")
}

fn consumed(window: u64) -> String {
    format!("(c) consume, window {window}")
}

fn main() -> Fallible<()> {
    let mut arguments = std::env::args().skip(1);
    let within = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let rounds = arguments.next().map_or(Ok(ROUNDS), |rounds| rounds.parse())?;
    let time = Duration::from_secs(arguments.next().map_or(Ok(SECONDS), |seconds| seconds.parse())?);
    let folder = tempfile::tempdir_in(&within)?;
    let device = Device::of(folder.path())?;
    // The first figure is the mean of the last minute.
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "Messages of {} octets, {rounds} rounds of {time:?}. Processors: {}; load before: {}.\n",
        BODY.len(),
        thread::available_parallelism()?,
        load.split(' ').next().unwrap_or_default()
    );
    let contenders = started(folder.path())?;
    println!(
        "- Flushes are those of the whole {}, whoever asked for them: they are the server's only while the machine is \
         quiet. The column is empty where the kernel does not count them.\n\
         - A server that has no messages but durable ones takes no part in (a); one NATS consumer acknowledges all up to \
         a message at once, the four of (d) each message by itself.",
        device.named()
    );
    let (mut rows, mut bare) = (Rows::default(), Bare::default());
    for _ in 0..rounds {
        bare.look(folder.path())?;
        for contender in &contenders {
            round(contender, &device, time, &mut rows)?;
        }
    }
    let of = |values: &[f64]| format!("{:.0} µs, p99 {:.0}", quantile(values, 0.5), quantile(values, 0.99));
    println!(
        "- By itself a write of 1 KiB over an older one takes {} until it is synced; a round trip over loopback {}; synced appends of 1 MiB reach {:.0} MB/s.\n",
        of(&bare.sync_us),
        of(&bare.round_trip_us),
        bare.append_megabytes()
    );
    let plotted = rows.report();
    ratios::report(&rows, &bare);
    bars(Path::new("report/amqp.svg"), "Messages of 1 KiB", "thousand messages a second", &plotted)
        .map_err(|error| error.to_string().into())
}

/// Starts them all, and says which they are and how they run.
fn started(folder: &Path) -> Fallible<Vec<Contender>> {
    let within = |name: &str| {
        let folder = folder.join(name);
        std::fs::create_dir(&folder).map(|()| folder)
    };
    let flags = |server: &Server| server.flags.replace(&*folder.to_string_lossy(), "…");
    let mut contenders = Vec::new();
    let forebay = Arc::new(forebay::start(&within("forebay")?));
    let rabbitmq = Arc::new(rabbitmq::start(&within("rabbitmq")?));
    let (durable, quorum) = (
        Declared { name: "durable", durable: true, kind: "classic" },
        Declared { name: "quorum", durable: true, kind: "quorum" },
    );
    for (name, server, declared) in
        [(FOREBAY, &forebay, durable), (CLASSIC, &rabbitmq, durable), (QUORUM, &rabbitmq, quorum)]
    {
        let at = server.tcp();
        println!("- {name}: {}, `{}`", Client::connect(at)?.product, flags(server));
        let peer = Box::new(Amqp { server: Arc::clone(server), declared });
        contenders.push(Contender { name, peer, transient: (declared.kind == "classic").then_some(at) });
    }
    let redis = Redis::start(&within("redis")?)?;
    println!("- {REDIS}: {}, `{}`", redis.version, flags(redis.server()));
    contenders.push(Contender { name: REDIS, peer: Box::new(redis), transient: None });
    match Nats::start(&within("nats")?)? {
        Ok(nats) => {
            println!("- {NATS}: {}, file storage, one replica, `{}`", nats.version, nats.settings);
            contenders.push(Contender { name: NATS, peer: Box::new(nats), transient: None });
        }
        Err(why) => println!("- {NATS} is left out: {why}"),
    }
    Ok(contenders)
}

fn round(contender: &Contender, device: &Device, time: Duration, rows: &mut Rows) -> Fallible<()> {
    let Contender { name, peer, transient } = contender;
    let peer = peer.as_ref();
    let measured = |work: &dyn Fn() -> Fallible<Done>| taken(peer.server(), device, work);
    if let Some(at) = *transient {
        rows.add("(a) transient, no ack", name, &measured(&|| without_acks(at, time))?);
    }
    peer.renew(1)?;
    rows.add(ONE, name, &measured(&|| Ok(peer.publish(Pace::full(1, time))?.into()))?);
    let mut full = 0.0;
    for window in WINDOWS {
        peer.renew(1)?;
        let all = measured(&|| Ok(peer.publish(Pace::full(window, time))?.into()))?;
        rows.add(&published(window), name, &all);
        if window == WINDOWS[0] {
            full = all.messages as f64 / all.time.as_secs_f64();
        }
        rows.add(&consumed(window), name, &measured(&|| consume(peer, window, all.messages))?);
    }
    peer.renew(CONSUMERS)?;
    rows.add("(d) 8 publishers, 4 consumers", name, &measured(&|| many(peer, time))?);
    peer.renew(1)?;
    let half = Pace { rate: Some(full / 2.0), ..Pace::full(WINDOWS[0], time) };
    rows.add(HALF_LOAD, name, &measured(&|| Ok(peer.publish(half)?.into()))?);
    peer.renew(1)
}

fn without_acks(at: SocketAddr, time: Duration) -> Fallible<Done> {
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
        Ok(Done::messages(taken))
    })
}

fn consume(peer: &dyn Peer, window: u64, messages: u64) -> Fallible<Done> {
    let mut left = messages;
    let taken = peer.consume(window, &mut |count| {
        left = left.saturating_sub(count);
        left > 0
    })?;
    Ok(Done::messages(taken))
}

/// Publishers and consumers at the same time, until as many are consumed as were published.
fn many(peer: &dyn Peer, time: Duration) -> Fallible<Done> {
    let (left, published) = (AtomicI64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let consumers: Vec<_> = (0..CONSUMERS)
            .map(|_| {
                let (left, published) = (&left, &published);
                scope.spawn(move || {
                    peer.consume(WINDOWS[0], &mut |count| {
                        left.fetch_sub(count as i64, Relaxed);
                        !(published.load(Relaxed) && left.load(Relaxed) <= 0)
                    })
                })
            })
            .collect();
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|_| scope.spawn(move || peer.publish(Pace::full(WINDOWS[0], time))))
            .collect();
        let mut sent = 0;
        for publisher in publishers {
            sent += publisher.join().map_err(|_| "a publisher panicked")??.confirmed;
        }
        left.fetch_add(sent as i64, Relaxed);
        published.store(true, Relaxed);
        for consumer in consumers {
            consumer.join().map_err(|_| "a consumer panicked")??;
        }
        Ok(Done::messages(sent))
    })
}
