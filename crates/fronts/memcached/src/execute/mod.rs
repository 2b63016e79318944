//! Commands carried out on the store, one file a family. A command appends its answer to the turn's output.

mod admin;
pub(crate) mod binary;
mod crawler;
pub(crate) mod get;
mod keyed;
pub(crate) mod meta;
pub(crate) mod paused;
pub(crate) mod run;
pub(crate) mod store;
pub(crate) mod turn;
