//! Random histories with crashes, against a model that knows what each record of the log should have changed.
//!
//! The broker runs on the saboteur's disk with tiny segments, step by step on one thread: its log's writer, the
//! carrying and releasing of segments, time, and what publishers, consumers and operators do, in random order. After
//! each crash the model is cut back to the last record that survived, which must not be before anything that was
//! confirmed, and then every message of every queue must be as the model says: its place, its state, its attempts, its
//! history, its body. At the end everything is received and compared with the model once more, from outside.

mod model;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use world::World;

/// How many histories a test run tries; the first seed can be given to repeat one.
const HISTORIES: u64 = 2_500;

#[test]
fn no_confirmed_message_is_lost_and_no_durable_end_undone_in_any_history() {
    let first = std::env::var("FOREBAY_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = first.map_or(0..HISTORIES, |seed: u64| seed..seed + 1);
    let mut seen = world::Seen::default();
    for seed in seeds.clone() {
        let history = AssertUnwindSafe(|| World::new(seed).live(&mut seen));
        if let Err(panic) = catch_unwind(history) {
            eprintln!("history of seed {seed}: repeat with FOREBAY_SEED={seed}");
            resume_unwind(panic);
        }
    }
    if seeds.end - seeds.start == HISTORIES {
        seen.assert_enough(HISTORIES);
    }
}
