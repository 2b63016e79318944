//! The HTTP front: queues and cache as JSON, health, metrics, and the document that describes them.
//!
//! It translates and holds no rule. [`server::bind`] takes the socket and starts nothing.

mod api;
mod body;
mod connection;
mod errors;
mod health;
mod json;
mod metrics;
mod number;
mod openapi;
mod parts;
mod router;
mod server;

pub use parts::{Cached, Front, Options, Parts};
pub use router::openapi_json;
pub use server::{Bound, bind};
