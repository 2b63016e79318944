//! What stands around a message, and beside its queue, in a broker that knows none of it: the envelope and the record, as
//! bytes; and who holds what, where the broker does not know that either.
//!
//! A backend puts these bytes where its broker takes them (a header, a property, an attribute, a tag) and adds what is its own.
//! What it reads may be anybody's: bytes are read whole or not at all, and never take more than a fixed multiple of their
//! length.

pub mod envelope;
mod history;
pub mod holds;
pub mod record;
pub mod taken;
mod values;
mod version;
