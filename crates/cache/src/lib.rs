//! The cache's read path: a hit is a look into the store; a miss becomes one load for everybody who asks.
//!
//! `cache` is what callers hold; `get` is the path of a read; `flight` lets one caller load while others wait; `fill`
//! stores what was loaded, if nothing has overtaken it.
//! `write_through` writes the source before the cache; `tags` makes many entries invalid at once; `atomic` has what one step of
//! the store decides: counters, locks, rate limits.
//!
//! Keys that begin with a zero byte are the rules' own. No thread, task or timer is started here: a load runs in the
//! future of the caller that leads it, and another caller takes over if that future is dropped.

pub mod atomic;
pub mod cache;
mod fill;
mod flight;
mod get;
pub mod tags;
mod write_through;

pub use cache::{Cache, CacheOptions};
