//! `forebay demo`: a shop on real traffic, whose daemon is killed half-way.
//!
//! Read `story` first: it tells what happens in which order. `traffic` is what happens at the same time: readers,
//! orders, workers. `clients` speak to the daemon, `shop` is the database, `verdict` measures, judges and reports.

mod clients;
mod daemon;
mod limits;
mod options;
mod outage;
mod page;
mod shop;
mod story;
mod trace;
mod traffic;
mod verdict;

pub use options::DemoOptions;
pub use story::run;
pub use verdict::judge::Verdict;
