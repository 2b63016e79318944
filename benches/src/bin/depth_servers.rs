//! A deep queue beside a shallow one, over AMQP: Forebay's daemon and RabbitMQ's classic and quorum queues.
//!
//! `cargo run --release --bin depth_servers [DIRECTORY [SECONDS [DEPTH...]]]`, after a release build of the daemon. For
//! each depth the queue is filled, for at most so many seconds (20 unless told otherwise): where that is not enough, the row
//! says how deep it got, and deeper ones are left out. Then publishing and consuming 5,000 take turns, so that the depth
//! stays what it is; the first turn at a depth does not count. Durable messages of 1 KiB, 1,000 unconfirmed and 1,000
//! unacknowledged. Depths are 1,000, 100,000 and 1,000,000. Deeper ones can be asked for, and are for Forebay alone:
//! 10,000,000 take some minutes and 12 GB of the directory's disk. Figures are medians of the turns. Markdown on stdout.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_benches::disk::quantile;
use forebay_benches::queue_servers::amqp::{Amqp, Client, Declared};
use forebay_benches::queue_servers::peer::{Fallible, Pace, Peer};
use forebay_benches::queue_servers::{forebay, rabbitmq};
use forebay_benches::server::Server;

const SECONDS: u64 = 20;
const DEPTHS: [u64; 3] = [1_000, 100_000, 1_000_000];
/// What is deeper is for Forebay alone.
const PEER_DEPTH_MAX: u64 = 1_000_000;
const WINDOW: u64 = 1_000;
const TURNS: usize = 9;
const TURN: u64 = 5_000;
/// Publishing of one turn ends after so long, however many there were.
const TURN_MAX: Duration = Duration::from_secs(60);

fn main() -> Fallible<()> {
    let mut arguments = std::env::args().skip(1);
    let within = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let seconds = arguments.next().map_or(Ok(SECONDS), |seconds| seconds.parse())?;
    let mut depths: Vec<u64> = arguments.map(|depth| depth.parse()).collect::<Result<_, _>>()?;
    if depths.is_empty() {
        depths.extend(DEPTHS);
    }
    depths.sort_unstable();
    println!(
        "Durable messages of 1 KiB over AMQP, {WINDOW} unconfirmed or unacknowledged; at every depth one turn of {TURN} \
         published and {TURN} consumed that does not count, and {TURNS} that do. Depths asked for: {depths:?}, those beyond \
         {PEER_DEPTH_MAX} of Forebay alone; each filled for {seconds} s at most.\n"
    );
    let folder = tempfile::tempdir_in(&within)?;
    let starts: [(&str, &str, Start); 3] = [
        ("Forebay", "classic", forebay::start),
        ("RabbitMQ, classic", "classic", rabbitmq::start),
        ("RabbitMQ, quorum", "quorum", rabbitmq::start),
    ];
    let mut lines = Vec::new();
    for (index, (name, kind, start)) in starts.into_iter().enumerate() {
        let folder = folder.path().join(index.to_string());
        std::fs::create_dir(&folder)?;
        let server = Arc::new(start(&folder));
        println!("- {name}: {}", Client::connect(server.tcp())?.product);
        // A server has one queue, so that what it has in memory is that queue's.
        let peer = Amqp { server, declared: Declared { name: "deep", durable: true, kind } };
        let is_for_it = |depth: &u64| index == 0 || *depth <= PEER_DEPTH_MAX;
        let depths: Vec<_> = depths.iter().copied().filter(is_for_it).collect();
        measure(name, &peer, &depths, Duration::from_secs(seconds), &mut lines)?;
    }
    println!(
        "\n| server | queued | publish/s | by the shallowest | consume/s | by the shallowest | resident MB |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for line in lines {
        println!("{line}");
    }
    Ok(())
}

type Start = fn(&Path) -> Server;

fn measure(name: &str, peer: &Amqp, depths: &[u64], time: Duration, lines: &mut Vec<String>) -> Fallible<()> {
    peer.renew(1)?;
    let (mut queued, mut shallowest) = (0, None);
    for &depth in depths {
        let pace = Pace { messages_max: depth.saturating_sub(queued), ..Pace::full(WINDOW, time) };
        queued += peer.publish(pace)?.confirmed;
        eprintln!("{name}: {queued} queued");
        let (mut publish, mut consume) = (Vec::new(), Vec::new());
        let filled = queued;
        for _ in 0..=TURNS {
            // One piece of input may have held more than was wanted.
            let messages_max = filled + TURN - queued;
            let begun = Instant::now();
            let published = peer.publish(Pace { messages_max, ..Pace::full(WINDOW, TURN_MAX) })?.confirmed;
            publish.push(published as f64 / begun.elapsed().as_secs_f64());
            let (begun, mut left) = (Instant::now(), TURN);
            let consumed = peer.consume(WINDOW, &mut |count| {
                left = left.saturating_sub(count);
                left > 0
            })?;
            consume.push(consumed as f64 / begun.elapsed().as_secs_f64());
            queued = queued + published - consumed;
        }
        let (publish, consume) = (quantile(&publish[1..], 0.5), quantile(&consume[1..], 0.5));
        let first = *shallowest.get_or_insert((publish, consume));
        let resident = peer.server.resident_bytes() as f64 / 1e6;
        lines.push(format!(
            "| {name} | {filled} | {publish:.0} | {:.2} | {consume:.0} | {:.2} | {resident:.0} |",
            publish / first.0,
            consume / first.1
        ));
        if filled < depth {
            break;
        }
    }
    Ok(())
}
