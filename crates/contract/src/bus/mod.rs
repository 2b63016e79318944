//! The suite of the port [`Bus`]: what every bus promises, one file per subject.
//!
//! A bus's test says how to set it up in a function that returns a [`Rig`], and runs everything by
//! `forebay_contract::bus!(function)`. What a bus does not declare among its capabilities is not asked of it; that nothing
//! is lost in silence is asked of all.

mod cases;
mod scene;
pub mod subjects;

use std::sync::Arc;

use forebay_core::ports::BoxFuture;
use forebay_core::ports::bus::Bus;

/// A bus under test, and the ground it stands on. Each case gets a new one.
pub trait Rig {
    /// The bus as it runs now.
    fn bus(&self) -> Arc<dyn Bus>;

    /// How many small notices a listener may be behind before it misses some.
    fn kept(&self) -> usize;

    /// Runs the future, and whatever the bus needs beside it, to its end.
    fn run(&self, future: BoxFuture<'_, ()>);

    /// Runs the future as far as it goes by itself, and says whether it has ended.
    fn poll(&self, future: &mut BoxFuture<'_, ()>) -> bool;

    /// Closes the bus in good order.
    fn close(&self);

    /// Ends it without a word some time later, and starts it again.
    fn restart(&mut self);
}
