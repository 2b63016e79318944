//! What joins the cache and the queues of one process: they share its memory and its directory.
//!
//! - [`ladder`]: who gets which memory under pressure, as a pure function
//! - [`governor`]: the work that looks, decides by the ladder and acts
//! - [`warm`]: what the cache held, over a restart

pub mod governor;
pub mod ladder;
pub mod warm;

pub use governor::Governor;
pub use ladder::Budget;
