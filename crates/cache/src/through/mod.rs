//! Reading through the cache: a source with a policy, for whoever wants more than a time to live.
//!
//! `read_through` is what callers hold, made with `options`; `many` its batches; `policy` is what they choose, `freshness`
//! the decision that follows from it; `load` is the task that asks the source; `served` is what a reader gets; `within`
//! bounds a wait.

mod freshness;
mod load;
mod many;
pub mod options;
pub mod policy;
pub mod read_through;
pub mod served;
mod within;
