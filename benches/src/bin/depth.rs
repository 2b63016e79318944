//! A deep queue beside a shallow one: throughput, resident memory per message, recovery.
//!
//! `cargo run --release --bin depth [DIRECTORY] [MESSAGES]` prints a Markdown table; 5,000,000 messages of 1 KiB unless
//! told otherwise, which take 6 GB of the directory's disk. Publishing is batches of 1,000, four on their way at a time;
//! consuming is four consumers, each with batches of 1,000 that it receives and then settles. Every figure waits for durability. Publishing and consuming
//! take turns, so that the depth stays what it is, and so do the two queues, each in a broker of its own, so that what
//! else the machine does falls on both. The figures are medians of the rounds, with the least and the greatest beside
//! them. The files are in the system's page cache as far as it reaches.

use std::path::{Path, PathBuf};
use std::time::Duration;

use forebay_benches::plot::{Bar, bars};
use forebay_benches::queue::{Bench, Fallible, resident_bytes};
use forebay_core::limits;

const MESSAGES: u64 = 5_000_000;
const PAYLOAD_BYTES: usize = 1024;
const SHALLOW: u64 = 1_000;
const ROUNDS: usize = 75;
const ROUND: u64 = 20_000;
const DISK_BYTES_MAX: u64 = 64 << 30;

/// Messages a second, round by round.
#[derive(Default)]
struct Rates {
    publish: Vec<f64>,
    consume: Vec<f64>,
}

impl Rates {
    fn round(&mut self, bench: &mut Bench) -> Fallible<()> {
        let rate = |time: Duration| ROUND as f64 / time.as_secs_f64();
        self.publish.push(rate(bench.publish(ROUND)?));
        self.consume.push(rate(bench.consume(ROUND)?));
        Ok(())
    }
}

fn sorted(rates: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut rates: Vec<_> = rates.collect();
    rates.sort_by(f64::total_cmp);
    rates
}

fn median(rates: &[f64]) -> f64 {
    rates.get(rates.len() / 2).copied().unwrap_or(0.0)
}

fn shown(rates: &[f64]) -> String {
    let rates = sorted(rates.iter().map(|rate| rate / 1_000.0));
    let (least, greatest) = (rates.first().unwrap_or(&0.0), rates.last().unwrap_or(&0.0));
    format!("{:.0} ({least:.0}–{greatest:.0})", median(&rates))
}

/// The deep queue's rates by the shallow one's, round by round.
fn share(deep: &[f64], shallow: &[f64]) -> String {
    let shares = sorted(deep.iter().zip(shallow).map(|(deep, shallow)| deep / shallow));
    format!("{:.2}", median(&shares))
}

fn main() -> Fallible<()> {
    let mut arguments = std::env::args().skip(1);
    let within = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let messages = arguments.next().map_or(Ok(MESSAGES), |count| count.parse())?;
    let directories = [tempfile::tempdir_in(&within)?, tempfile::tempdir_in(&within)?];
    let mut shallow = Bench::open(directories[0].path(), DISK_BYTES_MAX, PAYLOAD_BYTES)?;
    let path = directories[1].path();
    let mut deep = Bench::open(path, DISK_BYTES_MAX, PAYLOAD_BYTES)?;

    for bench in [&mut shallow, &mut deep] {
        bench.publish(SHALLOW)?;
        Rates::default().round(bench)?;
    }
    let before = resident_bytes();
    let filling = deep.publish(messages - SHALLOW)?;
    let filled = resident_bytes();
    // The front that is in memory goes first: what counts is what must be read.
    let hot = limits::QUEUE_HOT_BYTES_DEFAULT as u64;
    deep.consume(hot / PAYLOAD_BYTES as u64)?;
    deep.publish(hot / PAYLOAD_BYTES as u64)?;
    let (mut of_shallow, mut of_deep) = (Rates::default(), Rates::default());
    for _ in 0..ROUNDS {
        of_shallow.round(&mut shallow)?;
        of_deep.round(&mut deep)?;
    }
    shallow.close()?;
    deep.close()?;

    let empty = resident_bytes();
    let bench = Bench::open(path, DISK_BYTES_MAX, PAYLOAD_BYTES)?;
    let reopened = resident_bytes();
    assert_eq!(bench.recovered.ready, messages);
    let (opening, log) = (bench.opening, bench.recovered.log);

    let per_message = |bytes: u64| bytes as f64 / messages as f64;
    println!("| {PAYLOAD_BYTES}-byte messages, thousands a second | publish | receive and settle |");
    println!("|---|---|---|");
    println!("| {SHALLOW} queued | {} | {} |", shown(&of_shallow.publish), shown(&of_shallow.consume));
    println!("| {messages} queued | {} | {} |", shown(&of_deep.publish), shown(&of_deep.consume));
    let publish = share(&of_deep.publish, &of_shallow.publish);
    println!("| deep by shallow | {publish} | {} |", share(&of_deep.consume, &of_shallow.consume));
    println!();
    println!("| {messages} queued | |\n|---|---|");
    println!("| filling | {:.1} s |", filling.as_secs_f64());
    let grown = filled.saturating_sub(before).saturating_sub(hot);
    println!(
        "| resident bytes per message, beyond the {} MiB for bodies | {:.1} |",
        hot >> 20,
        per_message(grown)
    );
    println!(
        "| resident bytes per message after recovery | {:.1} |",
        per_message(reopened.saturating_sub(empty))
    );
    println!("| recovery | {:.2} s |", opening.as_secs_f64());
    println!("| log that recovery reads | {:.1} GB in {} segments |", log.bytes as f64 / 1e9, log.segments);
    let bar = |name: String, rates: &[f64]| {
        let rates = sorted(rates.iter().map(|rate| rate / 1_000.0));
        let range = rates.first().copied().zip(rates.last().copied());
        Bar { name, value: median(&rates), range }
    };
    bars(
        Path::new("report/depth.svg"),
        "A deep queue beside a shallow one",
        "thousand messages a second",
        &[
            bar(format!("publish, {SHALLOW} queued"), &of_shallow.publish),
            bar(format!("publish, {messages} queued"), &of_deep.publish),
            bar(format!("receive and settle, {SHALLOW} queued"), &of_shallow.consume),
            bar(format!("receive and settle, {messages} queued"), &of_deep.consume),
        ],
    )?;
    bench.close()
}
