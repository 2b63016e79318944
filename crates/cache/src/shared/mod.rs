//! A store that many processes share, under the rules of a read: `cache` is what callers hold, `load` how a missing value is
//! loaded once for all processes, `tags` and `locks` what only some stores have, and `entry` what an entry of the store says.

pub mod cache;
mod entry;
mod load;
mod locks;
mod tags;
