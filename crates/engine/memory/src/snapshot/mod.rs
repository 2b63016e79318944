//! The whole store as a stream of bytes, and back: for a restart that does not begin cold.
//!
//! It is written and read in chunks, so that it takes little memory beside the store. Where it is kept, and whether it may
//! still be believed, is for others to decide.

mod format;
mod load;
mod save;
