//! Pinned results: keys that the cache may not forget, in a log and a budget of their own.
//!
//! - [`store`]: the port `LocalStore` over the cache and the results; which key goes where
//! - [`prefixes`]: which keys are results
//! - [`results`]: the results of one process, opened, kept and closed
//! - `table`: what is there and what of it is not durable yet; `verbs`: the port's verbs on it; `entry`: one result
//! - `unkept`: the keys whose change is on its way to the disk, in the order in which they go
//! - `keeper`: the work: takes changes in batches, writes them, and empties old files of the log
//! - `record`: a result as it lies on the disk
//! - `progress`: how far all is durable, and waiting for it
//! - `histories`: random histories with crashes, and the ends of room and disk
//! - [`waiting`]: the same store for callers that can wait in no other way than by blocking

mod entry;
mod keeper;
pub mod prefixes;
mod progress;
mod record;
pub mod results;
pub mod store;
mod table;
mod unkept;
mod verbs;
pub mod waiting;

#[cfg(test)]
mod histories;

pub use prefixes::Prefixes;
pub use results::{Opened, Results, ResultsOptions};
pub use store::Pinned;
pub use waiting::Waiting;
