//! The worker: `handle` is what its owner holds, `taker` takes messages and starts handlers, `pace` bounds how fast,
//! `job` is one message in its handler's hands, `control` is what they tell each other.

mod control;
mod handle;
mod job;
mod options;
mod pace;
mod taker;

#[cfg(test)]
mod tests;

pub use handle::Worker;
pub use options::{Failure, Rate, WorkerOptions};
