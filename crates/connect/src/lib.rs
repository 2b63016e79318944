//! Which backend a URL names, and how it is opened.
//!
//! `url` reads what a user wrote and never tells its secrets, `file` the settings of which that is one; `open` opens what it
//! names; `declared` tells what each backend of this build can do, without a connection; `watch` notices when one is away;
//! `backends` has one file for each, and the table of them.
//!
//! `memory:` and `file:DIR` are the engine of the process itself: whoever embeds that opens it, which is why
//! [`StoreUrl`](url::StoreUrl) and [`BrokerUrl`](url::BrokerUrl) tell it apart.

mod backends;
pub mod declared;
pub mod file;
pub mod open;
pub mod url;
pub mod watch;
