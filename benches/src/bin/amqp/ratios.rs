//! What is asked of Forebay, beside what it reached.

use forebay_benches::disk::{Bare, quantile};
use forebay_benches::queue_servers::peer::BODY;

use crate::rows::{Row, Rows};
use crate::{FOREBAY, HALF_LOAD, ONE, QUORUM, WINDOWS, consumed, published};

/// Prints every ratio that can be taken.
pub fn report(rows: &Rows, bare: &Bare) {
    println!("\n| Forebay's | reached | asked | |");
    println!("| --- | ---: | ---: | --- |");
    for window in WINDOWS {
        let (publish, consume) = (published(window), consumed(window));
        by_quorum(rows, &publish, "rate", |row| row.rate.median(), Asked::AtLeast(4.0));
        by_quorum(rows, &consume, "rate", |row| row.rate.median(), Asked::AtLeast(2.5));
        for work in [&publish, &consume] {
            by_quorum(rows, work, "CPU per message", |row| row.processor_us.median(), Asked::AtMost(0.2));
        }
        if let Some(row) = rows.get(&publish, FOREBAY) {
            let megabytes = row.rate.median() * BODY.len() as f64 / 1e6;
            let what = format!("{publish}: bytes per second / synced appends of 1 MiB");
            line(&what, megabytes / bare.append_megabytes(), Asked::AtLeast(0.6));
        }
    }
    if let Some(row) = rows.get(ONE, FOREBAY) {
        for (name, reached, part) in [("median", &row.p50_us, 0.5), ("p99", &row.p99_us, 0.99)] {
            let both = quantile(&bare.sync_us, part) + quantile(&bare.round_trip_us, part);
            let what = format!("{ONE}: {name} / ({name} of a sync + {name} of a round trip)");
            line(&what, reached.median() / both, Asked::OfBare(1.2));
        }
    }
    if let Some(row) = rows.get(HALF_LOAD, FOREBAY) {
        let what = format!("{HALF_LOAD}: p99 / median of a sync");
        line(&what, row.p99_us.median() / quantile(&bare.sync_us, 0.5), Asked::OfBare(2.0));
    }
}

fn by_quorum(rows: &Rows, work: &str, name: &str, figure: impl Fn(&Row) -> f64, asked: Asked) {
    if let (Some(ours), Some(theirs)) = (rows.get(work, FOREBAY), rows.get(work, QUORUM)) {
        line(&format!("{work}: {name} / {QUORUM}"), figure(ours) / figure(theirs), asked);
    }
}

/// Nobody is that much faster than the disk alone: then the disk was measured while others used it.
const BARE_MIN: f64 = 0.9;

#[derive(Clone, Copy)]
enum Asked {
    AtLeast(f64),
    AtMost(f64),
    /// At most so many times what disk and loopback take by themselves.
    OfBare(f64),
}

fn line(what: &str, reached: f64, asked: Asked) {
    let (is_reached, text) = match asked {
        Asked::AtLeast(least) => (reached >= least, format!("≥ {least}")),
        Asked::AtMost(most) | Asked::OfBare(most) => (reached <= most, format!("≤ {most}")),
    };
    let verdict = match asked {
        Asked::OfBare(_) if reached < BARE_MIN => "**void**: the machine was not quiet",
        _ if is_reached => "reached",
        _ => "**missed**",
    };
    println!("| {what} | {reached:.2} | {text} | {verdict} |");
}
