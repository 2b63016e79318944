//! What is decided by one atomic step of the store: `counter`, `lock`, `rate`, `session`.

mod counter;
mod lock;
mod rate;
mod session;

pub use counter::Counter;
pub use lock::{Lock, Locks};
pub use rate::{RateLimit, RateLimiter, Verdict};
pub use session::Sessions;
