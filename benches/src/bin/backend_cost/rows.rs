//! What was measured: a line for each work and side, with what it is of the work's reference in the same round.

use std::time::Instant;

use forebay_benches::disk::quantile;
use forebay_benches::queue_servers::peer::Fallible;
use rustix::time::{ClockId, clock_gettime};

use crate::sides::Serving;

/// What one measurement gave.
pub struct Taken {
    rate: f64,
    /// Microseconds of processor time for an operation: of this process, and of the server.
    ours_us: f64,
    server_us: Option<f64>,
}

/// Measures the work, which says how many operations it was.
pub async fn taken(
    server: Option<&dyn Serving>,
    work: impl Future<Output = Fallible<u64>>,
) -> Fallible<Taken> {
    let server_ns = || server.map(Serving::processor_ns);
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

/// All lines: works in the order in which their first measurements came, and so the sides of each.
#[derive(Default)]
pub struct Rows(Vec<Row>);

impl Rows {
    /// Adds a measurement. The side that a work is first measured with is its reference.
    pub fn add(&mut self, work: &str, side: &'static str, taken: Taken) {
        let Taken { rate, ours_us, .. } = taken;
        eprintln!("{work}, {side}: {rate:.0} a second, {ours_us:.2} µs of CPU each");
        match self.0.iter_mut().find(|row| row.work == work && row.side == side) {
            Some(row) => row.taken.push(taken),
            None => {
                let last = self.0.iter().rposition(|row| row.work == work);
                let place = last.map_or(self.0.len(), |last| last + 1);
                self.0.insert(place, Row { work: work.into(), side, taken: vec![taken] });
            }
        }
    }

    /// In each round, by the figure of the work's reference.
    fn compared(&self, row: &Row, figure: fn(&Taken) -> f64) -> Vec<f64> {
        let reference = self.0.iter().find(|reference| reference.work == row.work).unwrap_or(row);
        row.of(figure).iter().zip(reference.of(figure)).map(|(mine, its)| mine / its).collect()
    }

    /// Prints the table.
    pub fn report(&self) {
        println!(
            "| | side | a second | least..greatest | × | of the rounds | CPU µs, client | × | CPU µs, server |"
        );
        println!("| --- | --- | ---: | --- | ---: | --- | ---: | ---: | ---: |");
        for row in &self.0 {
            let (rates, ratios) = (row.of(rate), self.compared(row, rate));
            let costs = self.compared(row, ours_us);
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

#[cfg(test)]
mod tests {
    use super::{Rows, Taken, rate};

    #[test]
    fn sides_stand_with_their_work_and_are_compared_round_by_round() {
        let mut rows = Rows::default();
        // In the second round the machine is ten times as slow, and the sides come in the other order.
        for (work, side, rate) in [
            ("get", "bare", 100.0),
            ("set", "bare", 50.0),
            ("get", "ours", 90.0),
            ("set", "ours", 50.0),
            ("get", "ours", 8.0),
            ("get", "bare", 10.0),
        ] {
            rows.add(work, side, Taken { rate, ours_us: 1.0, server_us: None });
        }
        let order: Vec<_> = rows.0.iter().map(|row| (row.work.as_str(), row.side)).collect();
        assert_eq!(order, [("get", "bare"), ("get", "ours"), ("set", "bare"), ("set", "ours")]);
        assert_eq!(rows.compared(&rows.0[1], rate), [0.9, 0.8]);
        assert_eq!(rows.compared(&rows.0[0], rate), [1.0, 1.0]);
    }
}
