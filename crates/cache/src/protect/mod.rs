//! What stands between a cache and its source: how many loads at a time, none while it fails, and none for what it lacks.
//!
//! `budget` lets a bounded number load, `breaker` lets a failing source rest, `guard` knows which keys the source does not
//! have, `negatives` bounds how many absent keys are remembered.

pub mod breaker;
pub(crate) mod budget;
pub mod guard;
pub(crate) mod negatives;
