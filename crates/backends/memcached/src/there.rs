//! What a look at a key has found. For memcached a placeholder is an entry.

use forebay_wire::memcached::reply::{Code, Marks};

use crate::commands::{HELD_FLAGS, LEASED_FLAGS};
use crate::link::awaited::Received;

/// What is at a key's place.
pub(crate) enum There {
    /// Nothing.
    Nothing,
    /// A value, and its number at the server.
    Value(u64),
    /// A place for one: it is being filled, or held.
    Placeholder(u64),
}

impl There {
    /// By the reply to a look.
    pub(crate) fn of(reply: &Received) -> Self {
        match reply.code {
            Code::Hit | Code::Value => {
                let number = reply.marks.version.unwrap_or_default();
                if is_placeholder(&reply.marks) { Self::Placeholder(number) } else { Self::Value(number) }
            }
            _ => Self::Nothing,
        }
    }
}

pub(crate) fn is_placeholder(marks: &Marks) -> bool {
    marks.is_placeholder() || is_reserved(marks.flags)
}

/// A client's entry must not look like a placeholder.
pub(crate) const fn is_reserved(flags: u32) -> bool {
    flags == HELD_FLAGS || flags == LEASED_FLAGS
}
