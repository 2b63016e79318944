//! Redis as a shared store, a broker and a bus: one server, a master that sentinels watch over, or a cluster.

mod admin;
mod bell;
pub mod broker;
pub mod bus;
mod cluster;
mod connect;
mod link;
mod script;
mod sentinels;
pub mod settings;
pub mod store;
