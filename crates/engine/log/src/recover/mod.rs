//! Opening a log: what is on disk is read, judged, replayed and made fit to go on.
//!
//! - [`open`]: the whole of it, step by step
//! - `directory`: which files there are and what their headers say
//! - `walk`: reads segments in order and replays records until they end
//! - `probe`: looks behind a bad place for proof that what is missing had been durable
//! - `aside`: copies damage away, where that was asked for
//! - `settle`: nothing behind the end can ever verify, and everything replayed is durable

pub(crate) mod aside;
mod directory;
pub mod open;
mod probe;
mod settle;
mod walk;
