//! What joins the cache and the queues of one process: they share its memory and its directory.
//!
//! - [`ladder`]: who gets which memory under pressure, as a pure function
//! - [`governor`]: the work that looks, decides by the ladder and acts

pub mod governor;
pub mod ladder;

pub use governor::Governor;
pub use ladder::Budget;
