//! Opening a log: what is on disk is read, judged, replayed and made fit to go on.
//!
//! - [`open`]: the whole of it, step by step
//! - `walk`: reads segments in order and replays records until they end
//! - `probe`: looks behind the first bad place for proof that what is missing had been durable

pub mod open;
mod probe;
mod walk;
