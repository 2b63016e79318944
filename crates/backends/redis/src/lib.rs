//! Redis as a shared store and a broker: one server, a master that sentinels watch over, or a cluster.

mod admin;
pub mod broker;
mod connect;
mod link;
mod script;
pub mod settings;
pub mod store;
