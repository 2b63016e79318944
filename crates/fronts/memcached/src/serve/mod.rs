//! Sockets: binding, accepting, and the connections themselves.

mod accept;
pub mod bind;
pub(crate) mod budget;
pub(crate) mod connection;
mod deal;
mod listener;
pub(crate) mod peers;
mod scratch;
mod silence;
mod stop;
#[cfg(test)]
mod tests;
