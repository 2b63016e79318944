//! The table at the end.

use std::fmt::Write;
use std::time::Duration;

use super::counts::Counts;
use super::judge::{Findings, Verdict};
use super::latency::{Latencies, Percentiles};
use crate::demo::limits;
use crate::demo::outage::Outage;
use crate::demo::trace::Survey;

const LABEL_WIDTH: usize = 17;

type Row = (&'static str, String);

/// Everything the report tells of.
pub(in crate::demo) struct Report<'a> {
    pub(in crate::demo) survey: &'a Survey,
    pub(in crate::demo) counts: &'a Counts,
    pub(in crate::demo) latencies: &'a Latencies,
    pub(in crate::demo) outage: &'a Outage,
    pub(in crate::demo) findings: &'a Findings,
    pub(in crate::demo) verdict: &'a Verdict,
}

impl Report<'_> {
    /// The table, and the verdict in words.
    pub(in crate::demo) fn render(&self) -> String {
        let mut text = String::from("\n");
        for (label, value) in self.rows() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{label:<LABEL_WIDTH$} {value}");
        }
        text.push('\n');
        if self.verdict.kept() {
            text.push_str("Kept: nothing confirmed was lost, nothing old was served.\n");
        }
        for broken in self.verdict.broken() {
            let _ = writeln!(text, "BROKEN: {broken}.");
        }
        text
    }

    fn rows(&self) -> Vec<Row> {
        [self.reads(), self.orders(), self.daemon(), self.musts()].concat()
    }

    fn reads(&self) -> Vec<Row> {
        let (counts, survey) = (self.counts, self.survey);
        let (views, accesses) = (grouped(counts.views.get()), grouped(survey.accesses));
        let more = if survey.whole { "" } else { " or more" };
        let (reads, away) = (grouped(counts.database_reads.get()), grouped(counts.database_reads_away.get()));
        let refused = grouped(counts.fills_refused.get());
        vec![
            ("page views", format!("{views} of {accesses}{more} in the trace")),
            ("hit ratio", format!("{:.1} %", counts.hit_percent())),
            (
                "database reads",
                format!("{reads} with the cache ({away} while it was away), {views} without it"),
            ),
            (
                "late fills",
                format!("{refused} refused, the product had changed or the daemon restarted meanwhile"),
            ),
            ("view time", percentiles(self.latencies.overall())),
            ("  from the cache", percentiles(self.latencies.of_hits())),
            ("  from database", percentiles(self.latencies.of_misses())),
        ]
    }

    fn orders(&self) -> Vec<Row> {
        let (counts, findings) = (self.counts, self.findings);
        let (sent, confirmed, done) = (findings.sent as u64, findings.confirmed as u64, findings.done as u64);
        let [sent, confirmed, done] = [sent, confirmed, done].map(grouped);
        let (duplicates, turned_away) = (grouped(counts.duplicates.get()), counts.turned_away.get());
        let (peak_in, peak_out) = (grouped(counts.rate_in.peak()), grouped(counts.rate_out.peak()));
        let mean_out = grouped(counts.rate_out.mean_when_busy());
        let mut rows = vec![
            (
                "orders",
                format!("{sent} published, {confirmed} confirmed, {done} done, {duplicates} duplicates"),
            ),
            ("burst rate in", format!("at most {peak_in} orders in a second")),
            ("rate out", format!("at most {peak_out} orders in a second, {mean_out} on average")),
        ];
        if turned_away > 0 {
            let (many, open) = (grouped(turned_away), limits::OPEN_ORDERS_MAX);
            rows.push(("turned away", format!("{many} customers who came while {open} orders were open")));
        }
        rows
    }

    fn daemon(&self) -> Vec<Row> {
        let Outage { killed_id, next_id, at, cache, queue } = *self.outage;
        let (seconds, cache, queue) = (at.as_secs_f64(), milliseconds(cache), milliseconds(queue));
        vec![
            (
                "daemon",
                format!(
                    "process {killed_id} killed with SIGKILL after {seconds:.1} s, then process {next_id}"
                ),
            ),
            ("time to recover", format!("cache answers {cache} after the kill, queue {queue}")),
        ]
    }

    fn musts(&self) -> Vec<Row> {
        let (lost, confirmed) = (grouped(self.findings.lost as u64), grouped(self.findings.confirmed as u64));
        let (stale, checked) = (grouped(self.counts.stale.get()), grouped(self.counts.checked.get()));
        vec![
            ("lost orders", format!("{lost} of {confirmed} confirmed (must be 0)")),
            (
                "stale views",
                format!("{stale} of {checked} on changed products, 1 s after the invalidation (must be 0)"),
            ),
        ]
    }
}

/// A number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn percentiles(percentiles: Percentiles) -> String {
    format!("p50 {}, p99 {}", milliseconds(percentiles.p50), milliseconds(percentiles.p99))
}

fn milliseconds(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1_000.0;
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use tokio::time::Instant;

    use super::super::journal::Entries;
    use super::super::judge;
    use super::*;

    fn render(done: &[&str]) -> String {
        let survey = Survey { accesses: 76_118, keys: Vec::new(), whole: true };
        let counts = Counts::new(Instant::now(), Duration::from_secs(1));
        counts.views.add(40_000);
        counts.hits.add(30_000);
        counts.database_reads.add(10_000);
        counts.checked.add(1_234);
        counts.fills_refused.add(3);
        let mut latencies = Latencies::new().unwrap();
        latencies.hit(Duration::from_micros(150));
        let outage = Outage {
            killed_id: 11,
            next_id: 12,
            at: Duration::from_secs(20),
            cache: Duration::from_millis(61),
            queue: Duration::from_micros(7_500),
        };
        let ids = |ids: &[&str]| ids.iter().map(ToString::to_string).collect::<HashSet<_>>();
        let journal = Entries { sent: ids(&["a", "b"]), confirmed: ids(&["a", "b"]) };
        let findings = judge::find(&journal, &ids(done), 0);
        let verdict = judge::judge(&findings, &counts, 0);
        let report = Report {
            survey: &survey,
            counts: &counts,
            latencies: &latencies,
            outage: &outage,
            findings: &findings,
            verdict: &verdict,
        };
        report.render()
    }

    #[test]
    fn the_report_shows_every_number_and_the_musts() {
        let text = render(&["a", "b"]);
        for line in [
            "page views        40,000 of 76,118 in the trace\n",
            "hit ratio         75.0 %\n",
            "late fills        3 refused, ",
            "database reads    10,000 with the cache (0 while it was away), 40,000 without it\n",
            "  from the cache  p50 0.15 ms, p99 0.15 ms\n",
            "orders            2 published, 2 confirmed, 2 done, 0 duplicates\n",
            "daemon            process 11 killed with SIGKILL after 20.0 s, then process 12\n",
            "time to recover   cache answers 61 ms after the kill, queue 7.50 ms\n",
            "lost orders       0 of 2 confirmed (must be 0)\n",
            "stale views       0 of 1,234 on changed products",
            "Kept: nothing confirmed was lost",
        ] {
            assert!(text.contains(line), "{line}\nis not in{text}");
        }
    }

    #[test]
    fn a_broken_must_is_said_last_with_its_reason() {
        let text = render(&["a"]);
        assert!(text.contains("lost orders       1 of 2 confirmed (must be 0)\n"), "{text}");
        assert!(
            text.ends_with("BROKEN: 1 confirmed orders were lost.\n") && !text.contains("Kept"),
            "{text}"
        );
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
