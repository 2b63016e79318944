//! The table at the end.

use std::fmt::Write;
use std::time::Duration;

use super::counts::Counts;
use super::judge::{Findings, Verdict};
use super::latency::{Latencies, Percentiles};
use crate::demo::outage::Outage;
use crate::demo::trace::Survey;

const LABEL_WIDTH: usize = 17;

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

    fn rows(&self) -> Vec<(&'static str, String)> {
        let (counts, findings, outage) = (self.counts, self.findings, self.outage);
        let more = if self.survey.whole { "" } else { " or more" };
        let views = counts.views.get();
        let mut rows = vec![
            (
                "page views",
                format!("{} of {}{more} in the trace", grouped(views), grouped(self.survey.accesses)),
            ),
            ("hit ratio", format!("{:.1} %", counts.hit_percent())),
            (
                "database reads",
                format!(
                    "{} with the cache ({} of them while it was away), {} without it",
                    grouped(counts.database_reads.get()),
                    grouped(counts.database_reads_away.get()),
                    grouped(views)
                ),
            ),
            ("view time", percentiles(self.latencies.overall())),
            ("  from the cache", percentiles(self.latencies.of_hits())),
            ("  from database", percentiles(self.latencies.of_misses())),
            (
                "orders",
                format!(
                    "{} published, {} confirmed, {} done; {} duplicates seen, {} publishes repeated",
                    grouped(findings.sent as u64),
                    grouped(findings.confirmed as u64),
                    grouped(findings.done as u64),
                    grouped(counts.duplicates.get()),
                    grouped(counts.publish_retries.get())
                ),
            ),
            ("burst rate in", format!("at most {} orders in a second", grouped(counts.rate_in.peak()))),
            (
                "rate out",
                format!(
                    "at most {} orders in a second, {} on average",
                    grouped(counts.rate_out.peak()),
                    grouped(counts.rate_out.mean_when_busy())
                ),
            ),
            (
                "daemon",
                format!(
                    "process {} killed with SIGKILL after {:.1} s, process {} since then",
                    outage.killed_id,
                    outage.at.as_secs_f64(),
                    outage.next_id
                ),
            ),
            (
                "time to recover",
                format!(
                    "cache answers {} after the kill, queue {}",
                    milliseconds(outage.cache),
                    milliseconds(outage.queue)
                ),
            ),
            (
                "lost orders",
                format!("{} of {} confirmed (must be 0)", findings.lost, grouped(findings.confirmed as u64)),
            ),
            (
                "stale views",
                format!(
                    "{} of {} on changed products, older than 1 s after the invalidation (must be 0)",
                    grouped(counts.stale.get()),
                    grouped(counts.checked.get())
                ),
            ),
        ];
        if counts.turned_away.get() > 0 {
            rows.insert(
                7,
                (
                    "  turned away",
                    format!("{} customers found the sale sold out", grouped(counts.turned_away.get())),
                ),
            );
        }
        rows
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
        let verdict = judge::judge(&findings, &counts);
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
            "database reads    10,000 with the cache (0 of them while it was away), 40,000 without it\n",
            "  from the cache  p50 0.15 ms, p99 0.15 ms\n",
            "orders            2 published, 2 confirmed, 2 done; 0 duplicates seen, 0 publishes repeated\n",
            "daemon            process 11 killed with SIGKILL after 20.0 s, process 12 since then\n",
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
