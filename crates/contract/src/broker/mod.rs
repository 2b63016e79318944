//! The suite of the [`Broker`] and [`BrokerAdmin`] ports: what every broker promises, one file per subject.
//!
//! A broker's test says how to set it up in a function that returns a [`Rig`], and runs everything by
//! `forebay_contract::broker!(function)`. A case about something the broker does not declare among its capabilities is
//! passed over. The same cases run in simulated time and on a real server; the [`Pace`] says how time passes.

mod cases;
pub mod pace;
mod scene;
pub mod subjects;

use std::sync::Arc;
use std::time::Duration;

use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{Broker, BrokerAdmin};
use forebay_core::time::Instant;

use self::pace::Pace;

/// What a broker needs in the process itself.
#[doc(hidden)]
pub const fn always() -> bool {
    true
}

/// A broker under test, and the ground it stands on. Each case gets a new one without queues.
pub trait Rig {
    /// The broker as it runs now.
    fn broker(&self) -> Arc<dyn Broker>;

    /// Its administration, as far as it has one.
    fn admin(&self) -> Option<Arc<dyn BrokerAdmin>>;

    /// The present, as the broker sees it.
    fn now(&self) -> Instant;

    /// How its time passes: as the simulated clock's unless it says otherwise.
    fn pace(&self) -> Pace {
        Pace::SIMULATED
    }

    /// Lets time pass, really or in simulation.
    fn pass(&self, time: Duration);

    /// Runs the future, and whatever the broker needs beside it, to its end.
    fn run(&self, future: BoxFuture<'_, ()>);

    /// Runs the future as far as it goes by itself, and says whether it has ended. On a real server, where that cannot be seen,
    /// it is run for the time in which [`Pace::quiet`] says that nothing more will come.
    fn poll(&self, future: &mut BoxFuture<'_, ()>) -> bool;

    /// Closes the broker in good order.
    fn close(&self);

    /// Opens it again after [`close`](Self::close).
    fn reopen(&mut self);

    /// Ends it without a word, with the loss of all that was not durable, and starts it again.
    fn crash(&mut self);
}
