//! What opening the queues costs, with much that is ready and with much that is over.
//!
//! `cargo run --release --bin recovery [DIRECTORY]` prints a Markdown table. Messages have 100 bytes. "Settled" were
//! published, received and settled one batch after the other; "live" is what was ready at the end. The files are in the
//! system's page cache when they are read. A plot goes into `report/recovery.svg`.

use std::path::{Path, PathBuf};

use forebay_benches::plot::{Bar, bars};
use forebay_benches::queue::{BATCH, Bench, Fallible};

const PAYLOAD_BYTES: usize = 100;
const DISK_BYTES_MAX: u64 = 64 << 30;
/// Settled, live.
const HISTORIES: [(u64, u64); 5] =
    [(0, 10), (1_000_000, 10), (10_000_000, 10), (0, 1_000_000), (10_000_000, 1_000_000)];
/// Batches that are consumed behind so many published ones.
const STRIDE: u64 = 10 * BATCH;

fn main() -> Fallible<()> {
    let within = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    println!("| settled | live | segments | records read | log read | opening |");
    println!("|---|---|---|---|---|---|");
    let mut plotted = Vec::new();
    for (settled, live) in HISTORIES {
        let directory = tempfile::tempdir_in(&within)?;
        let mut bench = Bench::open(directory.path(), DISK_BYTES_MAX, PAYLOAD_BYTES)?;
        bench.publish(live)?;
        for _ in 0..settled / STRIDE {
            bench.publish(STRIDE)?;
            bench.consume(STRIDE)?;
        }
        bench.close()?;
        let bench = Bench::open(directory.path(), DISK_BYTES_MAX, PAYLOAD_BYTES)?;
        assert_eq!(bench.recovered.ready, live);
        let log = bench.recovered.log;
        println!(
            "| {settled} | {live} | {} | {} | {:.0} MB | {:.3} s |",
            log.segments,
            log.records,
            log.bytes as f64 / 1e6,
            bench.opening.as_secs_f64()
        );
        let name = format!("{settled} settled, {live} live");
        plotted.push(Bar { name, value: bench.opening.as_secs_f64(), range: None });
        bench.close()?;
    }
    bars(Path::new("report/recovery.svg"), "Opening the queues again", "seconds", &plotted)?;
    Ok(())
}
