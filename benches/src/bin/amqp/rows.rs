//! What was measured, one line for each work and server.

use std::time::{Duration, Instant};

use forebay_benches::disk::{Device, Flushes, quantile};
use forebay_benches::plot::Bar;
use forebay_benches::queue_servers::peer::{BODY, Fallible, Published};
use forebay_benches::server::Server;

/// What was measured again and again.
#[derive(Default)]
pub struct Series(Vec<f64>);

impl Series {
    /// The middle one; not a number when there are none.
    pub fn median(&self) -> f64 {
        quantile(&self.0, 0.5)
    }

    fn range(&self) -> (f64, f64) {
        (quantile(&self.0, 0.0), quantile(&self.0, 1.0))
    }

    /// As a cell, with so many digits behind the point: empty when there are none.
    fn cell(&self, digits: usize) -> String {
        if self.0.is_empty() { String::new() } else { format!("{:.digits$}", self.median()) }
    }
}

/// One line of the report.
#[derive(Default)]
pub struct Row {
    pub work: String,
    pub peer: &'static str,
    pub rate: Series,
    pub processor_us: Series,
    pub p50_us: Series,
    pub p99_us: Series,
    flushes: Series,
    flush_us: Series,
}

/// What one measurement gave.
pub struct Taken {
    pub messages: u64,
    pub time: Duration,
    processor_ns: u64,
    quantiles_us: Option<[f64; 2]>,
    flushes: Option<Flushes>,
}

/// What was done in a measurement.
pub struct Done {
    pub messages: u64,
    /// Median and 99th percentile.
    pub quantiles_us: Option<[f64; 2]>,
}

impl Done {
    /// So many messages, without latencies.
    pub fn messages(messages: u64) -> Self {
        Self { messages, quantiles_us: None }
    }
}

impl From<Published> for Done {
    fn from(published: Published) -> Self {
        let of = |part| published.latencies.value_at_quantile(part) as f64 / 1_000.0;
        Self { messages: published.confirmed, quantiles_us: Some([of(0.5), of(0.99)]) }
    }
}

/// Measures the work.
pub fn taken(server: &Server, device: &Device, work: impl FnOnce() -> Fallible<Done>) -> Fallible<Taken> {
    let (flushed, processor_ns, begun) = (device.flushes(), server.processor_ns(), Instant::now());
    let Done { messages, quantiles_us } = work()?;
    let time = begun.elapsed();
    let processor_ns = server.processor_ns() - processor_ns;
    let flushes = device.flushes().zip(flushed).map(|(after, before)| Flushes {
        count: after.count - before.count,
        time_ms: after.time_ms - before.time_ms,
    });
    Ok(Taken { messages, time, processor_ns, quantiles_us, flushes })
}

/// All lines, in the order in which their first measurements came.
#[derive(Default)]
pub struct Rows(Vec<Row>);

impl Rows {
    /// Adds a measurement to its line.
    pub fn add(&mut self, work: &str, peer: &'static str, taken: &Taken) {
        let place = self.0.iter().position(|row| row.work == work && row.peer == peer);
        let place = place.unwrap_or_else(|| {
            self.0.push(Row { work: work.into(), peer, ..Row::default() });
            self.0.len() - 1
        });
        let row = &mut self.0[place];
        let messages = taken.messages as f64;
        let processor_us = taken.processor_ns as f64 / 1_000.0 / messages;
        eprintln!(
            "{work}, {peer}: {messages} messages in {:.1?}, {processor_us:.2} µs of CPU each",
            taken.time
        );
        row.rate.0.push(messages / taken.time.as_secs_f64());
        row.processor_us.0.push(processor_us);
        if let Some([p50, p99]) = taken.quantiles_us {
            row.p50_us.0.push(p50);
            row.p99_us.0.push(p99);
        }
        if let Some(flushes) = taken.flushes {
            row.flushes.0.push(flushes.count as f64 / messages * 1e6);
            if flushes.count > 0 {
                row.flush_us.0.push(flushes.time_ms as f64 * 1_000.0 / flushes.count as f64);
            }
        }
    }

    /// The line of that work on that server.
    pub fn get(&self, work: &str, peer: &str) -> Option<&Row> {
        self.0.iter().find(|row| row.work == work && row.peer == peer)
    }

    /// Prints the table, and returns its bars.
    pub fn report(&self) -> Vec<Bar> {
        println!(
            "| | server | messages/s | least..greatest | MB/s | CPU µs/message | median of a confirm, µs | p99, µs \
             | flushes per million | µs of a flush |"
        );
        println!("| --- | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
        let mut sorted: Vec<_> = self.0.iter().collect();
        sorted.sort_by(|one, other| one.work.cmp(&other.work));
        let bars = sorted.into_iter().map(|row| {
            let (rate, (least, greatest)) = (row.rate.median(), row.rate.range());
            println!(
                "| {} | {} | {rate:.0} | {least:.0}..{greatest:.0} | {:.0} | {} | {} | {} | {} | {} |",
                row.work,
                row.peer,
                rate * BODY.len() as f64 / 1e6,
                row.processor_us.cell(2),
                row.p50_us.cell(0),
                row.p99_us.cell(0),
                row.flushes.cell(0),
                row.flush_us.cell(0)
            );
            Bar {
                name: format!("{}, {}", row.peer, row.work),
                value: rate / 1_000.0,
                range: Some((least / 1_000.0, greatest / 1_000.0)),
            }
        });
        bars.collect()
    }
}
