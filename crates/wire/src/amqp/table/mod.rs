//! Field tables: read in place, kept as the bytes they came in, so that headers can be stored and sent on unchanged.

mod build;
mod check;
mod value;

pub use build::{ArrayBuf, TableBuf};
pub use check::DEPTH_MAX;
pub use value::{Array, Fields, Table, Value, Values};
