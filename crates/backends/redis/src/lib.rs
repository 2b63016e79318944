//! Redis as a shared store, a broker and a bus: one server, a master that sentinels watch over, or a cluster.

mod connect;
mod link;
mod script;
pub mod settings;
pub mod store;
