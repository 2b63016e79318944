//! What all histories begin with: results on a disk that can be sabotaged, and short ways to ask.

use std::sync::Arc;

use forebay_contract::clock::SimClock;
use forebay_contract::files::Saboteur;
use forebay_core::entry::{Read, Version, Write, Written};
use forebay_core::error::Result;
use forebay_core::ports::clock::Clock;
use forebay_core::ports::local_store::LocalStore;
use forebay_memory::{Memory, MemoryOptions};

use crate::pinned::{Pinned, Prefixes, Results, ResultsOptions};

pub(super) const VALUE_BYTES_MAX: usize = 2_000;
pub(super) const BUDGET: u64 = 16 * 1024;

pub(super) fn options() -> ResultsOptions {
    ResultsOptions {
        bytes_max: BUDGET,
        value_bytes_max: VALUE_BYTES_MAX,
        ..ResultsOptions::new(Prefixes::new(["task:"]).unwrap())
    }
}

pub(super) fn open(disk: &Saboteur, options: ResultsOptions, clock: &SimClock) -> Result<Results> {
    let opened = Results::open_with(Arc::new(disk.clone()), options, 0, Arc::new(clock.clone()))?;
    Ok(opened.results)
}

pub(super) fn over(results: &Results) -> Pinned<Memory> {
    let memory =
        MemoryOptions { bytes_max: 1 << 20, value_bytes_max: VALUE_BYTES_MAX, first_version: Version(1) };
    Pinned::new(Arc::new(Memory::new(memory)), Some(results.clone()))
}

pub(super) fn settle(results: &Results) {
    while results.step() {}
}

pub(super) fn set(store: &Pinned<Memory>, clock: &SimClock, key: &str, value: &[u8]) -> Written {
    store.write(key.as_bytes(), value, Write::at(clock.now()))
}

pub(super) fn there(store: &Pinned<Memory>, clock: &SimClock, key: &str) -> bool {
    store.read(key.as_bytes(), Read::at(clock.now()), &mut |_| ())
}
