//! What joins the cache and the queues of one process: they share its memory and its directory, and what one has accepted
//! the other shows.
//!
//! - [`ladder`]: who gets which memory under pressure, as a pure function
//! - [`governor`]: the work that looks, decides by the ladder and acts
//! - [`warm`]: what the cache held, over a restart
//! - [`pinned`]: results of tasks, which the cache does not forget: durable, in a log and a budget of their own
//! - [`behind`]: writes that are durable in a queue before the source has them, and seen by readers at once

pub mod behind;
pub mod governor;
pub mod ladder;
pub mod pinned;
pub mod warm;

pub use governor::Governor;
pub use ladder::Budget;
pub use pinned::{Pinned, Prefixes, Results};
