//! What is decided by one atomic step of the store: `counter`, `lock`, `rate`.

mod counter;
mod lock;
mod rate;

pub use counter::Counter;
pub use lock::{Lock, Locks};
pub use rate::{RateLimit, RateLimiter, Verdict};
