//! What is measured while the demo runs, how it is judged, and what is printed.

pub(super) mod counts;
pub(super) mod journal;
pub(super) mod judge;
pub(super) mod latency;
pub(super) mod progress;
pub(super) mod report;
