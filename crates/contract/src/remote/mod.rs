//! The suite of the port [`RemoteStore`]: what every shared store promises, one file per subject.
//!
//! A store's test says how to set it up in a function that returns a [`Rig`], and runs everything by
//! `forebay_contract::remote!(function)`. A case about something the store does not declare among its capabilities is
//! passed over, after it was seen that the store refuses it. The suite runs in real time as well as in simulated: no case
//! lasts longer than a few seconds.

mod cases;
pub mod model;
mod scene;
pub mod subjects;

use std::sync::Arc;
use std::time::Duration;

use forebay_core::ports::BoxFuture;
use forebay_core::ports::remote_store::RemoteStore;

/// A shared store under test, and its servers. Each case gets a new one without entries.
pub trait Rig {
    /// The store as it is open.
    fn store(&self) -> Arc<dyn RemoteStore>;

    /// The same servers as another process has them open: another store object with connections of its own.
    fn other(&self) -> Arc<dyn RemoteStore>;

    /// Runs the future, and whatever the store needs beside it, to its end.
    fn run(&self, future: BoxFuture<'_, ()>);

    /// Lets time pass, really or in simulation.
    fn pass(&self, time: Duration);

    /// The time since some moment, really or in simulation.
    fn now(&self) -> Duration;

    /// The time-out with which both stores were opened.
    fn time_out(&self) -> Duration;

    /// How long a node may be there again before both stores use it again.
    fn recovery(&self) -> Duration;

    /// How far a read of `store` may be behind what the other one has changed.
    fn age_max(&self) -> Duration {
        Duration::ZERO
    }

    /// How many nodes the keys are spread over, each a server of its own; none where there are no servers that could be
    /// away, and nothing to be closed.
    fn nodes(&self) -> usize;

    /// Which of them has this key, counted from 0.
    fn node_of(&self, key: &[u8]) -> usize;

    /// Kills a node. What it had in memory alone is gone.
    fn stop(&mut self, node: usize);

    /// Starts a node that was stopped, where it was, and waits until it answers.
    fn start(&mut self, node: usize);

    /// Lets a node stand still: its connections stay open and nothing is answered.
    fn pause(&mut self, node: usize);

    /// Lets it go on.
    fn resume(&mut self, node: usize);

    /// Removes all entries of a node behind the store's back, as an operator may.
    fn empty(&mut self, node: usize);

    /// Makes a key's node forget what it has of the key, as under pressure of memory: entry, placeholder or tombstone.
    fn evict(&mut self, key: &[u8]);

    /// Closes the store, not the other.
    fn close(&self);
}
