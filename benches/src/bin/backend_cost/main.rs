//! What Forebay's layer costs over the bare client of each backend, and the same job on apalis.
//!
//! `cargo run --release --bin backend_cost [DIRECTORY [ROUNDS [MILLISECONDS [PEER]]]]`, where a part of a peer's name leaves
//! the others out. Starts memcached, Redis, RabbitMQ and Kafka, and asks both sides for the same work: values of 100 octets
//! read and written by 1 and by 64 callers; messages of 1 KiB published and confirmed one by one and a hundred at once, then
//! received and acknowledged; jobs of 1 KiB published, run and acknowledged. The sides take turns, the order of which turns
//! with the rounds; a round before them is not counted. Every figure is the median of the rounds; a ratio (×) is that to
//! the work's first side in the same round, so that what else the machine does meanwhile disturbs it least. Markdown on
//! stdout.
//!
//! Another backend is another file with a function that opens a [`Peer`].

mod apalis;
mod embedded;
mod kafka;
mod memcached;
mod rabbitmq;
mod redis;
mod rows;
mod sides;
mod through;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_benches::queue_servers::peer::Fallible;
use tokio::runtime::Runtime;

use crate::rows::{Rows, taken};
use crate::sides::{Caller, Jobs, Peer, Queue, Side, Store, TOGETHER};
use crate::through::Runs;

const ROUNDS: usize = 15;
const MILLISECONDS: u64 = 300;
const CALLERS: [usize; 2] = [1, 64];
const KEYS: usize = 1_000;
/// Messages published in one measurement; as many as time lets it, but no more.
const MESSAGES_MAX: u64 = 20_000;
/// A script of apalis-redis unpacks all waiting jobs at once, which Redis refuses beyond about 8,000.
const JOBS: u64 = 4_000;

fn main() -> Fallible<()> {
    let mut arguments = std::env::args().skip(1);
    let within = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let rounds = arguments.next().map_or(Ok(ROUNDS), |rounds| rounds.parse())?;
    let time = Duration::from_millis(arguments.next().map_or(Ok(MILLISECONDS), |time| time.parse())?);
    let only = arguments.next().unwrap_or_default();
    let folder = tempfile::tempdir_in(&within)?;
    // The first figure is the mean of the last minute.
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{rounds} rounds of {time:?}, {JOBS} jobs. Processors: {}; load before: {}.\n",
        std::thread::available_parallelism()?,
        load.split(' ').next().unwrap_or_default()
    );
    Runtime::new()?.block_on(compare(folder.path(), rounds, time, &only))
}

async fn compare(folder: &Path, rounds: usize, time: Duration, only: &str) -> Fallible<()> {
    let within = |name: &str| {
        let folder = folder.join(name);
        std::fs::create_dir(&folder).map(|()| folder)
    };
    let runs = Runs::here();
    let mut peers = vec![memcached::open(&runs)?];
    peers.extend(redis::open(&within("redis")?, &runs).await?);
    peers.extend(rabbitmq::open(&within("rabbitmq")?, &runs).await?);
    peers.extend(kafka::open(&runs).await?);
    peers.retain(|peer| peer.name.contains(only));
    let embedded = embedded::open(&within("embedded")?, &runs).await?;
    let keys: Arc<[String]> = (0..KEYS).map(|number| format!("user:{number}:profile")).collect();
    for store in peers.iter().flat_map(|peer| &peer.stores) {
        let mut caller = store.it.caller().await?;
        for key in keys.iter() {
            caller.set(key).await?;
        }
    }
    let mut rows = Rows::default();
    for round in 0..=rounds {
        let mut measured = Rows::default();
        // What the first round has measured is forgotten: it found everything cold.
        let into = if round == 0 { &mut measured } else { &mut rows };
        for peer in &peers {
            for side in in_turn(&peer.stores, round) {
                calls(peer, side, &keys, time, into).await?;
            }
            for side in in_turn(&peer.queues, round) {
                messages(peer, side, time, into).await?;
            }
            for side in in_turn(&peer.jobs, round) {
                let work = format!("{}: jobs", peer.name);
                side.it.ready().await?;
                into.add(&work, side.name, taken(Some(&*peer.server), jobs(&*side.it)).await?);
            }
        }
        into.add("Embedded engine: jobs", embedded.name, taken(None, jobs(&*embedded.it)).await?);
    }
    println!();
    rows.report();
    Ok(())
}

/// The sides from the first to the last in odd rounds, and back in even ones.
fn in_turn<T: ?Sized>(sides: &[Side<T>], round: usize) -> impl Iterator<Item = &Side<T>> {
    let last = sides.len().saturating_sub(1);
    (0..sides.len()).filter_map(move |place| sides.get(if round % 2 == 1 { place } else { last - place }))
}

#[derive(Clone, Copy, Debug)]
enum Verb {
    Get,
    Set,
}

async fn calls(
    peer: &Peer,
    side: &Side<dyn Store>,
    keys: &Arc<[String]>,
    time: Duration,
    rows: &mut Rows,
) -> Fallible<()> {
    for count in CALLERS {
        for (verb, name) in [(Verb::Get, "get"), (Verb::Set, "set")] {
            let mut callers = Vec::with_capacity(count);
            for _ in 0..count {
                callers.push(side.it.caller().await?);
            }
            let work =
                format!("{}: {name}, {count} {}", peer.name, if count == 1 { "caller" } else { "callers" });
            rows.add(
                &work,
                side.name,
                taken(Some(&*peer.server), all_call(callers, verb, keys, time)).await?,
            );
        }
    }
    Ok(())
}

async fn all_call(
    callers: Vec<Box<dyn Caller>>,
    verb: Verb,
    keys: &Arc<[String]>,
    time: Duration,
) -> Fallible<u64> {
    let until = Instant::now() + time;
    let mut tasks = Vec::with_capacity(callers.len());
    for (number, mut caller) in callers.into_iter().enumerate() {
        let keys = Arc::clone(keys);
        tasks.push(tokio::spawn(async move {
            let mut done = 0;
            for key in keys.iter().cycle().skip(number * 7) {
                match verb {
                    Verb::Get => caller.get(key).await?,
                    Verb::Set => caller.set(key).await?,
                }
                done += 1;
                if Instant::now() >= until {
                    break;
                }
            }
            Fallible::Ok(done)
        }));
    }
    let mut done = 0;
    for task in tasks {
        done += task.await??;
    }
    Ok(done)
}

async fn messages(peer: &Peer, side: &Side<dyn Queue>, time: Duration, rows: &mut Rows) -> Fallible<()> {
    let mut published = 0;
    for batch in [1, TOGETHER] {
        let work = format!("{}: publish {batch}", peer.name);
        let all = async {
            let (mut count, until) = (0, Instant::now() + time);
            while count < MESSAGES_MAX && Instant::now() < until {
                side.it.publish(batch).await?;
                count += batch as u64;
            }
            published += count;
            Ok(count)
        };
        rows.add(&work, side.name, taken(Some(&*peer.server), all).await?);
    }
    let work = format!("{}: receive and acknowledge", peer.name);
    side.it.ready().await?;
    let all = async { side.it.work_off(published).await.map(|()| published) };
    rows.add(&work, side.name, taken(Some(&*peer.server), all).await?);
    Ok(())
}

async fn jobs(jobs: &dyn Jobs) -> Fallible<u64> {
    jobs.run(JOBS).await.map(|()| JOBS)
}
