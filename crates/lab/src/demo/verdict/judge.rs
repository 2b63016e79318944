//! The verdict, from the database and the demo's own journal alone: Forebay's counters are not asked.

use std::collections::HashSet;

use super::counts::Counts;
use super::journal::Entries;

/// What became of the musts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    broken: Vec<String>,
}

impl Verdict {
    /// True if every must was kept.
    pub fn kept(&self) -> bool {
        self.broken.is_empty()
    }

    /// The musts that were broken, in a sentence each.
    pub fn broken(&self) -> &[String] {
        &self.broken
    }
}

/// What the orders came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::demo) struct Findings {
    /// Orders in the journal as sent.
    pub(in crate::demo) sent: usize,
    /// Orders in the journal as confirmed.
    pub(in crate::demo) confirmed: usize,
    /// Orders in the database as done.
    pub(in crate::demo) done: usize,
    /// Confirmed, but not done.
    pub(in crate::demo) lost: usize,
    /// Sent, and not confirmed to the end.
    pub(in crate::demo) unconfirmed: usize,
    /// Done, but never sent.
    pub(in crate::demo) invented: usize,
    /// Products whose stock does not fit the orders done: an order took effect twice, or half.
    pub(in crate::demo) miscounted: u64,
}

/// Compares the journal with the orders that are done in the database.
pub(in crate::demo) fn find(journal: &Entries, done: &HashSet<String>, miscounted: u64) -> Findings {
    Findings {
        sent: journal.sent.len(),
        confirmed: journal.confirmed.len(),
        done: done.len(),
        lost: journal.confirmed.difference(done).count(),
        unconfirmed: journal.sent.difference(&journal.confirmed).count(),
        invented: done.difference(&journal.sent).count(),
        miscounted,
    }
}

/// Which musts are broken. `left` is what the queue still had: it only tells late orders from lost ones.
pub(in crate::demo) fn judge(findings: &Findings, counts: &Counts, left: u64) -> Verdict {
    let (stale, wrong) = (counts.stale.get(), counts.wrong_pages.get());
    let missing = match left {
        0 => format!("{} confirmed orders were lost", findings.lost),
        _ => format!("{} confirmed orders were not done in time, the queue still had {left}", findings.lost),
    };
    let musts = [
        (findings.lost > 0, missing),
        (stale > 0, format!("{stale} page views were stale more than 1 s after the invalidation")),
        (wrong > 0, format!("{wrong} page views showed another page than was asked for")),
        (findings.unconfirmed > 0, format!("{} orders were never confirmed", findings.unconfirmed)),
        (findings.invented > 0, format!("{} orders were delivered that nobody sent", findings.invented)),
        (findings.miscounted > 0, format!("{} products have a wrong stock", findings.miscounted)),
        (findings.confirmed == 0, "no order was confirmed, so nothing was shown".to_string()),
    ];
    Verdict { broken: musts.into_iter().filter_map(|(broken, how)| broken.then_some(how)).collect() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    fn ids(ids: &[&str]) -> HashSet<String> {
        ids.iter().map(ToString::to_string).collect()
    }

    fn counts() -> Counts {
        Counts::new(Instant::now(), Duration::from_secs(1))
    }

    fn verdict(sent: &[&str], confirmed: &[&str], done: &[&str]) -> Verdict {
        let journal = Entries { sent: ids(sent), confirmed: ids(confirmed) };
        judge(&find(&journal, &ids(done), 0), &counts(), 0)
    }

    #[test]
    fn all_confirmed_orders_done_is_kept() {
        assert!(verdict(&["a", "b"], &["a", "b"], &["a", "b"]).kept());
    }

    #[test]
    fn one_missing_order_breaks_the_promise() {
        let verdict = verdict(&["a", "b", "c"], &["a", "b", "c"], &["a", "c"]);
        assert_eq!(verdict.broken(), ["1 confirmed orders were lost"]);
    }

    #[test]
    fn orders_that_are_still_in_the_queue_are_late_and_not_lost() {
        let journal = Entries { sent: ids(&["a"]), confirmed: ids(&["a"]) };
        let verdict = judge(&find(&journal, &ids(&[]), 0), &counts(), 1);
        assert_eq!(verdict.broken(), ["1 confirmed orders were not done in time, the queue still had 1"]);
    }

    #[test]
    fn orders_never_confirmed_or_never_sent_are_found() {
        let verdict = verdict(&["a", "b"], &["a"], &["a", "x"]);
        assert_eq!(
            verdict.broken(),
            ["1 orders were never confirmed", "1 orders were delivered that nobody sent"]
        );
    }

    #[test]
    fn a_run_without_orders_proves_nothing() {
        assert!(!verdict(&[], &[], &[]).kept());
    }

    #[test]
    fn stale_and_wrong_pages_and_a_wrong_stock_break_the_promise() {
        let journal = Entries { sent: ids(&["a"]), confirmed: ids(&["a"]) };
        let counts = counts();
        counts.stale.add(1);
        counts.wrong_pages.add(1);
        assert_eq!(judge(&find(&journal, &ids(&["a"]), 1), &counts, 0).broken().len(), 3);
    }
}
