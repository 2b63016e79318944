//! What is built on the cache: `parts` hands out counters, locks, rate limits, namespaces and tags, `typed` caches values instead of
//! bytes, `sessions` are values with a sliding life, `compressed` makes large ones smaller.

mod compressed;
mod parts;
mod sessions;
mod shared;
mod typed;

pub use compressed::Compressed;
pub use sessions::Sessions;
pub use shared::SharedCache;
pub use typed::TypedCache;
