//! Commands carried out on the store, one file a family. A command appends its answer to the turn's output.

mod admin;
pub(crate) mod binary;
pub(crate) mod get;
mod keyed;
mod meta_count;
mod meta_delete;
pub(crate) mod meta_get;
pub(crate) mod meta_set;
pub(crate) mod meta_text;
pub(crate) mod run;
pub(crate) mod store;
pub(crate) mod turn;
