//! What stands between a caller and the log's end.
//!
//! - [`room`]: which records may use the last space, and waiting for some
//! - `batch`: records encoded where they will lie, waiting for the writer

pub(crate) mod batch;
pub mod room;
