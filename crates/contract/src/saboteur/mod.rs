//! Ports on a bad day: each wraps a sound one and does, by a seed, whatever the port's contract allows.
//!
//! - [`store`]: a `LocalStore` that forgets at any time and refuses writes
//! - [`broker`]: a `Broker` that fails before and after it has done something, is slow, loses holds, repeats itself,
//!   and can be poisoned
//! - [`bus`]: a `Bus` that loses notices and says so, repeats and reorders them
//! - [`loader`]: a `Loader` that is slow, fails, panics, or never comes back
//!
//! The saboteur of `Files` is [`files::Saboteur`](crate::files::Saboteur), the clock that jumps is
//! [`SimClock`](crate::clock::SimClock).

pub mod broker;
pub mod bus;
pub mod loader;
pub mod store;
