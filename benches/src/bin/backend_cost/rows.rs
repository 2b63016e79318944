//! What was measured: a line for each work and side, with what it is of the work's reference in the same round.

use std::time::Instant;

use forebay_benches::disk::quantile;
use forebay_benches::queue_servers::peer::Fallible;
use forebay_benches::server::Server;
use rustix::time::{ClockId, clock_gettime};

/// What one measurement gave.
pub struct Taken {
    rate: f64,
    /// Microseconds of processor time for an operation: of this process, and of the server.
    ours_us: f64,
    server_us: Option<f64>,
}

/// Measures the work, which says how many operations it was.
pub async fn taken(server: Option<&Server>, work: impl Future<Output = Fallible<u64>>) -> Fallible<Taken> {
    let server_ns = || server.map(Server::processor_ns);
    let (before, ours_ns, begun) = (server_ns(), own_processor_ns(), Instant::now());
    let operations = work.await? as f64;
    let (time, ours_ns) = (begun.elapsed(), own_processor_ns() - ours_ns);
    let us = |ns: u64| ns as f64 / 1_000.0 / operations;
    let server_us = server_ns().zip(before).map(|(after, before)| us(after - before));
    Ok(Taken { rate: operations / time.as_secs_f64(), ours_us: us(ours_ns), server_us })
}

/// Nanoseconds that all threads of this process have run.
fn own_processor_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

struct Row {
    work: String,
    side: &'static str,
    /// One of each round.
    taken: Vec<Taken>,
}

impl Row {
    fn of(&self, figure: impl Fn(&Taken) -> f64) -> Vec<f64> {
        self.taken.iter().map(figure).collect()
    }
}

/// All lines, in the order in which their first measurements came.
#[derive(Default)]
pub struct Rows(Vec<Row>);

impl Rows {
    /// Adds a measurement. The side that a work is first measured with is its reference.
    pub fn add(&mut self, work: &str, side: &'static str, taken: Taken) {
        let Taken { rate, ours_us, .. } = taken;
        eprintln!("{work}, {side}: {rate:.0} a second, {ours_us:.2} µs of CPU each");
        match self.0.iter_mut().find(|row| row.work == work && row.side == side) {
            Some(row) => row.taken.push(taken),
            None => self.0.push(Row { work: work.into(), side, taken: vec![taken] }),
        }
    }

    /// Prints the table.
    pub fn report(&self) {
        println!(
            "| | side | a second | least..greatest | × | of the rounds | CPU µs, client | × | CPU µs, server |"
        );
        println!("| --- | --- | ---: | --- | ---: | --- | ---: | ---: | ---: |");
        for row in &self.0 {
            let reference = self.0.iter().find(|reference| reference.work == row.work).unwrap_or(row);
            let by = |figure: fn(&Taken) -> f64| -> Vec<f64> {
                row.of(figure).iter().zip(reference.of(figure)).map(|(mine, its)| mine / its).collect()
            };
            let (rates, ratios, costs) = (row.of(rate), by(rate), by(ours_us));
            let server: Vec<f64> = row.taken.iter().filter_map(|taken| taken.server_us).collect();
            println!(
                "| {} | {} | {:.0} | {:.0}..{:.0} | {:.2} | {:.2}..{:.2} | {:.2} | {:.2} | {} |",
                row.work,
                row.side,
                quantile(&rates, 0.5),
                quantile(&rates, 0.0),
                quantile(&rates, 1.0),
                quantile(&ratios, 0.5),
                quantile(&ratios, 0.0),
                quantile(&ratios, 1.0),
                quantile(&row.of(ours_us), 0.5),
                quantile(&costs, 0.5),
                if server.is_empty() { String::new() } else { format!("{:.2}", quantile(&server, 0.5)) },
            );
        }
    }
}

fn rate(taken: &Taken) -> f64 {
    taken.rate
}

fn ours_us(taken: &Taken) -> f64 {
    taken.ours_us
}
