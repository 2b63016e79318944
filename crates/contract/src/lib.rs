//! The suites that every store, broker, bus and file port must pass, and what stands in for the real world in tests.
//!
//! What each suite promises of a port that passes it:
//! - [`mod@store`] (`store!`): every verb answers as memcached's users expect, each case by its name; random histories of one
//!   thread are answered as the model answers (`model`); concurrent histories have one order that explains every answer,
//!   and under pressure entries are forgotten but never go back (`linear`)
//! - [`mod@broker`] (`broker!`): what was confirmed survives, a hold ends once, attempts are counted, order is kept, dead
//!   letters arrive with their history; as far as the broker's capabilities go
//! - [`mod@bus`] (`bus!`): each listener hears of every notice or of a gap that covers it; positions and head never go back
//! - [`mod@remote`] (`remote!`): a shared store answers as its users expect, one reader loads, no fill brings back what was
//!   invalidated whatever its servers forget, and a node that is away costs its own keys only
//! - [`files_suite`]: what the log asks of a directory
//!
//! What stands in, each by a seed:
//! - [`saboteur`]: store, broker, bus and loader on a bad day; [`files::Saboteur`]: a disk that fails and forgets
//! - [`model_broker`]: a broker in memory, too simple to be wrong, for exploring the rules
//! - [`remote::model`]: a shared store whose servers are stopped and paused by a call
//! - [`clock`]: time that moves when told; [`runner`]: futures on the test's own thread; [`random`]: repeatable numbers
//! - `servers` (feature of the same name): real servers of other projects, and a wire to them that can be cut
//! - `outage` (the same feature): a load on a broker, buses or a shared store whose server goes away and comes back, and what must hold of it
//! - `ground` (the same feature): a process's runtime, on which calls end
//! - [`torture`]: how much longer everything runs when asked to

pub mod broker;
pub mod bus;
pub mod clock;
pub mod files;
pub mod files_suite;
#[cfg(feature = "servers")]
pub mod ground;
pub mod model_broker;
#[cfg(feature = "servers")]
pub mod outage;
pub mod random;
pub mod remote;
pub mod runner;
pub mod saboteur;
#[cfg(feature = "servers")]
pub mod servers;
pub mod store;
pub mod torture;
