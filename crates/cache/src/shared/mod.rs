//! A store that many processes share, under the rules of a read: `cache` is what callers hold, `load` how a missing value is
//! loaded once for all processes, and `entry` what an entry of the store says.

pub mod cache;
mod entry;
mod load;
