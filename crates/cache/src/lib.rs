//! The cache's read path: a hit is a look into the store; a miss becomes one load for everybody who asks.
//!
//! `cache` is what callers hold; `get` and `many` are the path of a read; `flight` lets one caller load while others wait;
//! `fill` stores what was loaded, if nothing has overtaken it, and `envelope` is the form in which it does. `through` puts the
//! cache in front of one source, by a policy: stale values, refreshing, time-outs; `protect` is what spares that source.
//! `write_through` writes the source before the cache; `tags` makes many entries invalid at once; `atomic` has what one step of
//! the store decides: counters, locks, rate limits; `near` keeps copies of a store that many processes share. Keys that begin with a zero byte are the rules' own.
//!
//! No thread, task or timer is started here by itself. A load of `get_or_load` runs in the future of the caller that leads it,
//! and another caller takes over if that future is dropped; a load of a `ReadThrough` is a task of the port that it was given.

pub mod atomic;
pub mod cache;
mod counters;
mod envelope;
mod fill;
mod flight;
mod get;
mod many;
pub mod near;
pub mod protect;
pub mod shared;
pub mod tags;
pub mod through;
mod write_through;

pub use cache::{Cache, CacheOptions};
pub use near::alone::Alone;
pub use near::near_cache::{Near, NearCache};
pub use protect::breaker::{BreakerOptions, BreakerState};
pub use protect::guard::{Guard, GuardOptions, GuardStats};
pub use shared::cache::SharedCache;
pub use through::options::ReadThroughOptions;
pub use through::policy::Policy;
pub use through::read_through::{ReadThrough, SourceStats};
pub use through::served::Served;
