//! What is printed while the demo runs: one line a second, in place on a terminal.

use std::io::{self, IsTerminal, Write};

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::counts::Counts;
use super::report::grouped;
use crate::demo::limits;

/// Back to the first column and clear the line.
const CLEAR: &str = "\r\x1b[2K";

/// Standard output, as far as somebody is reading it.
#[derive(Clone, Copy, Debug)]
pub(in crate::demo) struct Progress {
    terminal: bool,
}

impl Progress {
    /// Progress on standard output.
    pub(in crate::demo) fn new() -> Self {
        Self { terminal: io::stdout().is_terminal() }
    }

    /// Prints text that stays.
    pub(in crate::demo) fn note(self, text: &str) {
        let clear = if self.terminal { CLEAR } else { "" };
        print(format_args!("{clear}{text}\n"));
    }

    /// Shows the counts every second, for ever.
    pub(in crate::demo) async fn show(self, counts: &Counts, start: Instant) -> ! {
        let mut ticks = interval_at(start + limits::PROGRESS_EVERY, limits::PROGRESS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            let line = line(counts, start.elapsed().as_secs());
            if self.terminal {
                print(format_args!("{CLEAR}{line}"));
            } else {
                print(format_args!("{line}\n"));
            }
        }
    }
}

fn line(counts: &Counts, seconds: u64) -> String {
    format!(
        "{seconds:>3} s  views {}  hits {:.1} %  database reads {}  orders in {}, out {}",
        grouped(counts.views.get()),
        counts.hit_percent(),
        grouped(counts.database_reads.get()),
        grouped(counts.confirmed.get()),
        grouped(counts.done.get()),
    )
}

/// Nobody reading is no reason to stop.
fn print(text: std::fmt::Arguments<'_>) {
    let mut out = io::stdout().lock();
    let _ = out.write_fmt(text).and_then(|()| out.flush());
}
