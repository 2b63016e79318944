//! Whether what several threads saw of a store can be explained by one order of their calls.
//!
//! - [`sequential`]: one key as the simplest store keeps it; also what the subject `model` compares with
//! - [`record`]: threads that make random calls and write down when each began and ended, and what was answered
//! - [`search`]: looks for an order of the calls in which every answer is right
//! - [`cases`]: the promises

pub mod cases;
pub mod record;
pub mod search;
pub mod sequential;

pub use cases::{
    concurrent_histories_have_an_order_that_explains_every_answer,
    concurrent_histories_with_evictions_forget_and_never_go_back,
};
