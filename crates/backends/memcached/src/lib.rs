//! Memcached as a shared store: a client of its own on the meta protocol.
//!
//! - [`settings`]: which nodes, and how long to wait for them; read from a URL
//! - [`store`]: the port `RemoteStore` over them
//! - `ring`: which key is on which node, as libmemcached has it
//! - `node`, `supervise`: one node, whether it can be used, and how it comes back
//! - `link`, `greet`: one connection that many callers share, and its first words
//! - `commands`: the protocol's commands as bytes
//! - `verbs`: what each verb of the port says to its node

mod commands;
mod greet;
mod life;
mod link;
mod node;
mod ring;
pub mod settings;
pub mod store;
mod supervise;
mod there;
mod verbs;
