//! A broker in memory that is too simple to be wrong: one lock, no disk, everything durable at once. The rules are tested
//! over it; it keeps the suite of every broker as far as its capabilities go, and refuses settings beyond them by name.

mod broker;
mod letter;
mod port;
mod queue;
mod state;

pub use broker::ModelBroker;
pub use state::Event;
