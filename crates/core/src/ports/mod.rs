//! What the rules ask for, and others fill. The doc comment of a port is its contract; `forebay-contract` tests it.

pub mod broker;
pub mod bus;
pub mod clock;
pub mod files;
pub mod loader;
pub mod local_store;
pub mod pledges;
pub mod remote_store;

use std::future::Future;
use std::pin::Pin;

/// A future that a port returns: owned, sendable, of no particular runtime.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
